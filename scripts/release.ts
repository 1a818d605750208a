import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { bundle } from './bundle.ts';
import { archive } from './release/archive.ts';
import { newestNotes, versionOf } from './release/version.ts';

const USAGE = `npm run release -- TAG [--same-as SHA256]…
Makes what a release consists of, from the commit that is checked out:
  dist/release/          the archive, the function's zip and their SHA256SUMS
  dist/release-notes.md  what CHANGELOG.md says of this version
  TAG                    v and the version, which package.json and CHANGELOG.md must have too
  --same-as SHA256       demands that the function's zip has this SHA-256, in hexadecimal digits, as another machine made it`;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = join(ROOT, 'dist/release');

try {
  const { values, positionals } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      'same-as': { type: 'string', multiple: true, default: [] },
    },
    allowPositionals: true,
  });
  const [tag, ...others] = positionals;
  if (values.help) console.log(USAGE);
  else if (tag === undefined || others.length > 0) throw new Error(`expected one tag\n${USAGE}`);
  else await main(tag, values['same-as']);
} catch (error) {
  console.error(styleText('red', `npm run release: ${error instanceof Error ? error.message : error}`));
  process.exitCode = 1;
}

async function main(tag: string, expected: readonly string[]): Promise<void> {
  const changelog = await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8');
  const { version: manifest } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  const version = versionOf({ tag, manifest, changelog });
  const { zip } = await bundle();
  for (const digest of expected) demandSame(zip, digest);

  // Nothing of an earlier version may be published with this one.
  await rm(FOLDER, { recursive: true, force: true });
  await mkdir(FOLDER, { recursive: true });
  const zipFile = join(FOLDER, 'function.zip');
  await writeFile(zipFile, zip);
  const name = `remove-from-lb-${version}`;
  const packed = await archive(ROOT, name, zipFile);
  await writeFile(join(FOLDER, `${name}.tar.gz`), packed);
  const sums = `${sha256(zip)}  function.zip\n${sha256(packed)}  ${name}.tar.gz\n`;
  await writeFile(join(FOLDER, 'SHA256SUMS'), sums);
  await writeFile(join(ROOT, 'dist/release-notes.md'), newestNotes(changelog));
  console.log(`dist/release/SHA256SUMS\n${sums}`);
}

function demandSame(zip: Uint8Array, digest: string): void {
  if (!/^[0-9a-f]{64}$/.test(digest)) {
    throw new Error(`--same-as is ${JSON.stringify(digest)}; expected 64 hexadecimal digits`);
  }
  if (digest !== sha256(zip)) {
    throw new Error(`function.zip has the SHA-256 ${sha256(zip)} here; expected ${digest}, as another machine made it`);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
