/**
 * The tables of the index. It lives in memory and is made from the bucket at every start, so it has no versions.
 *
 * Namespaces and queues stand as numbers, which keeps the indexes small: `space` is a namespace, `scope` a namespace and a
 * queue. `tie` orders tasks of the same millisecond; it comes from the id, so that it is the same in every process.
 *
 * `task_by_key` finds a task; `task_by_state` lists the tasks of a queue in one state, newest first, and `task_by_time`
 * those of a namespace; `task_by_expiry` finds those that are to be forgotten, and `task_open` the oldest record of a task
 * that has not ended. A label has a row for each task that carries it.
 */
export const indexSchema = `
  PRAGMA journal_mode = OFF;
  PRAGMA synchronous = OFF;

  CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    space INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    suffix TEXT NOT NULL,
    state INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    visible INTEGER NOT NULL,
    change INTEGER NOT NULL,
    expire_ms INTEGER NOT NULL,
    create_ms INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    type TEXT NOT NULL,
    labels TEXT NOT NULL,
    status BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX task_by_key ON task (suffix, scope);
  CREATE INDEX task_by_state ON task (scope, state, create_ms, tie);
  CREATE INDEX task_by_time ON task (space, create_ms, tie);
  CREATE INDEX task_by_expiry ON task (expire_ms) WHERE expire_ms > 0;
  CREATE INDEX task_open ON task (revision) WHERE expire_ms = 0 AND revision > 0;

  CREATE TABLE label (
    space INTEGER NOT NULL,
    label TEXT NOT NULL,
    create_ms INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    task INTEGER NOT NULL,
    PRIMARY KEY (space, label, create_ms, tie, task)
  ) STRICT, WITHOUT ROWID;
`;
