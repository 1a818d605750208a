import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { LIST, ONE, TWO, test } from './fixtures.ts';

const PRINTED_ONE = 'i-00000001\t10.0.0.1\t80\n';
const NAMES = 'expected names, separated by colons, without double quotes';
const CHARACTERS = 'without quotes and backslashes';

describe('servers-to-keep.sh', () => {
  test.for([
    [[], 'expected AUTO-SCALING-GROUP[:AUTO-SCALING-GROUP...]'],
    [['blue', 'green'], 'expected AUTO-SCALING-GROUP[:AUTO-SCALING-GROUP...]'],
    ...['', ':web', 'web:', 'blue::green', 'we"b', 'we\nb', 'we\tb'].map(
      (name) => [[name], `AUTO-SCALING-GROUP is '${name}'; ${NAMES}`] as const,
    ),
  ] as const)('refuses the arguments %j', async ([args, message], { list }) => {
    const stderr = `servers-to-keep.sh: ${message}\n`;
    expect(await list([...args], ONE)).toEqual({ code: 2, stdout: '', stderr });
  });

  test.for([
    ...["it's", 'a "tag"', 'back\\'].flatMap((text) => [
      ['TAG_KEY', text, `a key ${CHARACTERS}`] as const,
      ['TAG_VALUE', text, `a value ${CHARACTERS}`] as const,
    ]),
    ...['abc', '0', '65536', '100000', '99999999999999999999', '+80', ' ', '080', '80 ', '80\n'].map(
      (text) => ['PORT', text, '1 to 65535'] as const,
    ),
  ])('refuses the setting %s=%j', async ([name, text, expected], { list }) => {
    const stderr = `servers-to-keep.sh: ${name} is '${text}'; expected ${expected}\n`;
    expect(await list(['web'], ONE, { env: { [name]: text } })).toEqual({ code: 2, stdout: '', stderr });
  });

  test.for(['1', '65535'])('takes the port %s', async (port, { list }) => {
    expect((await list(['web'], ONE, { env: { PORT: port } })).stdout).toBe(`i-00000001\t10.0.0.1\t${port}\n`);
  });

  test('prints nothing and fails when the AWS CLI fails after a part of the answer', async ({ list }) => {
    expect(await list(['web'], ONE, { status: 255 })).toEqual({ code: 255, stdout: '', stderr: '' });
  });

  test.for([124, 143])('says that EC2 did not answer when timeout ends with %i', async (status, { folder, list }) => {
    await writeFile(join(folder, 'timeout'), `#!/bin/sh\nexit ${status}\n`, { mode: 0o755 });
    const stderr = 'servers-to-keep.sh: EC2 did not answer within 18 s\n';
    expect(await list(['web'], ONE)).toEqual({ code: status, stdout: '', stderr });
  });

  test.for(['', 'i-00000001\\tNone\\tnull\\n'])('fails instead of printing an empty list', async (prints, { list }) => {
    const { code, stdout, stderr } = await list(['web'], prints);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('servers-to-keep.sh: no server to keep in web; leave the load balancer as it is\n');
  });

  test.for([
    ['None\\n', 'None'],
    ['None\\tNone\\tnull\\n', 'None?None?null'],
    ['i-0000000g\\t10.0.0.3\\tnull\\n', 'i-0000000g?10.0.0.3?null'],
    ['xi-00000003\\t10.0.0.3\\tnull\\n', 'xi-00000003?10.0.0.3?null'],
    ['i-00000003\\t10.0.0.3\\n', 'i-00000003?10.0.0.3'],
    ['i-00000003\\t10.0.0.3\\tnull\\t80\\n', 'i-00000003?10.0.0.3?null?80'],
    ['\\n', ''],
    ['\\033[2K\\n', '?[2K'],
  ] as const)('prints nothing and fails when the answer has the line %j', async ([line, shown], { list }) => {
    const stderr = `servers-to-keep.sh: the answer is not from EC2: it has the line "${shown}"; expected an instance\n`;
    expect(await list(['web'], ONE + line + TWO)).toEqual({ code: 1, stdout: '', stderr });
  });

  test.for([
    ['None', 'None'],
    ['', ''],
    ['10.0.0', '10.0.0'],
    ['10.0.0.3.4', '10.0.0.3.4'],
    ['ec2.internal', 'ec2.internal'],
    ['2001:db8::g', '2001:db8::g'],
    ['\\0332001:db8::2', '?2001:db8::2'],
  ] as const)('leaves out and names an instance with the address %j', async ([address, shown], { list }) => {
    expect(await list(['web'], `i-00000003\\t${address}\\tnull\\n${ONE}`)).toEqual({
      code: 0,
      stdout: PRINTED_ONE,
      stderr: `servers-to-keep.sh: i-00000003 is left out: its address is ${shown}; expected an IPv4 or IPv6 address\n`,
    });
  });

  test.for(['0', '65536', '100000', '080', 'abc', '8 0'])(
    'leaves out and names an instance with the port tag %j',
    async (tag, { list }) => {
      expect(await list(['web'], `i-00000003\\t10.0.0.3\\t["${tag}"]\\n${ONE}`)).toEqual({
        code: 0,
        stdout: PRINTED_ONE,
        stderr: `servers-to-keep.sh: i-00000003 is left out: its tag HAProxy:Service:Port is "${tag}"; expected 1 to 65535\n`,
      });
    },
  );

  test.for(['1', '65535'])('takes the port tag %s', async (tag, { list }) => {
    expect((await list(['web'], `i-00000003\\t10.0.0.3\\t["${tag}"]\\n`)).stdout).toBe(
      `i-00000003\t10.0.0.3\t${tag}\n`,
    );
  });

  test.for(['null', '[]', '[""]'])('uses PORT without a port tag: %s', async (tag, { list }) => {
    expect((await list(['web'], `i-00000001\\t10.0.0.1\\t${tag}\\n`)).stdout).toBe(PRINTED_ONE);
  });

  test('ends the AWS CLI, and leaves no file, at SIGTERM', async ({ folder, endWhileHanging }) => {
    expect(await endWhileHanging('aws', LIST, ['web'])).toBe(143);
    expect(await readdir(join(folder, 'tmp'))).toEqual([]);
  });

  test('leaves no file', async ({ folder, list }) => {
    await list(['web'], ONE, { env: { TMPDIR: join(folder, 'tmp') } });
    await list(['web'], ONE, { env: { TMPDIR: join(folder, 'tmp') }, status: 1 });
    expect(await readdir(join(folder, 'tmp'))).toEqual([]);
  });
});
