import { describe, expect, test } from "vitest";

import { debianArchives, parseDeb822, parseSourcesList } from "../../../src/dev/debian-sources.ts";

describe("the one-line format", () => {
  test("an entry gives its archive, suite and components", () => {
    expect(parseSourcesList("deb http://mirror.example/debian bookworm main contrib\n")).toEqual([
      {
        uri: "http://mirror.example/debian",
        suites: ["bookworm"],
        components: ["main", "contrib"],
        checksValidUntil: true,
      },
    ]);
  });

  test("options, trailing slashes and comments are dealt with", () => {
    const text = [
      "# deb http://commented.example/debian bookworm main",
      "deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg check-valid-until=no] https://m.example/debian/ sid main # here",
      "  deb\tmirror+file:/etc/apt/mirrors/debian.list   bookworm   main",
    ].join("\n");
    expect(parseSourcesList(text)).toEqual([
      { uri: "https://m.example/debian", suites: ["sid"], components: ["main"], checksValidUntil: false },
      {
        uri: "mirror+file:/etc/apt/mirrors/debian.list",
        suites: ["bookworm"],
        components: ["main"],
        checksValidUntil: true,
      },
    ]);
  });

  test("sources of source packages, blank lines and nonsense are left out", () => {
    expect(
      parseSourcesList("deb-src http://m.example/debian sid main\n\nnonsense\ndeb http://only-a-uri.example\n"),
    ).toEqual([]);
  });
});

describe("the stanza format", () => {
  test("a stanza gives an entry for each of its addresses", () => {
    const text = [
      "# The archive",
      "Types: deb deb-src",
      "URIs: http://one.example/debian https://two.example/debian/",
      "Suites: bookworm bookworm-updates",
      "Components: main",
      "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
    ].join("\n");
    const rest = { suites: ["bookworm", "bookworm-updates"], components: ["main"], checksValidUntil: true };
    expect(parseDeb822(text)).toEqual([
      { uri: "http://one.example/debian", ...rest },
      { uri: "https://two.example/debian", ...rest },
    ]);
  });

  test("fields may go on over lines, be written in any case, and hold a key", () => {
    const text = [
      "types: deb",
      "uris: http://one.example/debian",
      "suites: sid",
      "# a comment inside",
      " experimental",
      "components: main",
      "signed-by:",
      " -----BEGIN PGP PUBLIC KEY BLOCK-----",
      " .",
      " abc: def",
      "check-valid-until: no",
    ].join("\n");
    expect(parseDeb822(text)).toEqual([
      {
        uri: "http://one.example/debian",
        suites: ["sid", "experimental"],
        components: ["main"],
        checksValidUntil: false,
      },
    ]);
  });

  test("stanzas that are disabled or for source packages only are left out", () => {
    const stanza = "URIs: http://one.example/debian\nSuites: sid\nComponents: main";
    expect(parseDeb822(`Types: deb\nEnabled: no\n${stanza}\n\nTypes: deb-src\n${stanza}\n \n\n`)).toEqual([]);
  });
});

describe("the likely Debian archives", () => {
  const source = (uri: string, suite: string, component = "main") => ({
    uri,
    suites: [suite],
    components: [component],
    checksValidUntil: true,
  });

  test("those that serve the installed release come first", () => {
    const sources = [source("http://vendor.example", "stable"), source("http://m.example/debian", "bookworm")];
    expect(debianArchives(sources, "bookworm").map(({ uri }) => uri)).toEqual([
      "http://m.example/debian",
      "http://vendor.example",
    ]);
  });

  test("security archives and sources without a main component are no candidates, and each address counts once", () => {
    const sources = [
      source("http://m.example/debian", "bookworm"),
      source("http://m.example/debian", "bookworm-updates"),
      source("http://m.example/debian-security", "bookworm-security"),
      source("http://vendor.example", "bookworm", "stable"),
    ];
    expect(debianArchives(sources, "bookworm")).toEqual([sources[0]]);
  });
});
