/** What has to be of one version. */
export interface Versions {
  /** The tag, such as `v1.1.0`. */
  readonly tag: string;
  /** `version` of package.json. */
  readonly manifest: string;
  /** The text of CHANGELOG.md. */
  readonly changelog: string;
}

/**
 * The version that is released, without the `v`.
 * @throws Error that names each text that is of another version than the tag, what it held and what was expected.
 */
export function versionOf({ tag, manifest, changelog }: Versions): string {
  const version = /^v(\d+\.\d+\.\d+)$/.exec(tag)?.[1];
  if (version === undefined) throw new Error(`the tag is ${JSON.stringify(tag)}; expected one such as v1.1.0`);
  const held = {
    "package.json's version": manifest,
    "CHANGELOG.md's newest heading": sections(changelog)[0]?.version,
  };
  const wrong = Object.entries(held).filter(([, found]) => found !== version);
  if (wrong.length === 0) return version;
  const parts = wrong.map(([name, found]) => `${name} is ${found === undefined ? 'absent' : JSON.stringify(found)}`);
  throw new Error(`${parts.join(', ')}; expected "${version}", as the tag ${tag} says`);
}

/** What CHANGELOG.md says of its newest version, without the heading. */
export function newestNotes(changelog: string): string {
  return `${sections(changelog)[0]?.text.trim()}\n`;
}

/** The versions of a text in the format of https://keepachangelog.com/en/1.1.0/, in its order: the newest first. */
function sections(changelog: string): { version: string | undefined; text: string }[] {
  const [, ...parts] = changelog.split(/^## /m);
  return parts.map((part) => ({
    version: /^\[(.+)\]/.exec(part)?.[1],
    text: part.slice(part.indexOf('\n')),
  }));
}
