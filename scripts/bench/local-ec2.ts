import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { promisify } from 'node:util';
import { type Ec2Endpoint, startEc2Endpoint } from '../aws/ec2-endpoint.ts';

/** The event that the benchmarks send. */
export async function terminatingEvent(): Promise<string> {
  return JSON.stringify(
    JSON.parse(await readFile(new URL('../../test/events/terminating.json', import.meta.url), 'utf8')),
  );
}

/** Starts an EC2 endpoint that has the event's instance. */
export async function startEc2With(event: string): Promise<Ec2Endpoint> {
  const ec2 = await startEc2Endpoint();
  ec2.instances.set(JSON.parse(JSON.parse(event).Records[0].Sns.Message).EC2InstanceId, { tags: new Map() });
  return ec2;
}

/** The way to an endpoint over TLS, and the certificate to trust. */
export interface TlsFront {
  readonly url: string;
  readonly certificateFile: string;
  close(): Promise<void>;
}

/** Puts TLS before an endpoint; `undefined` on a machine without the `openssl` command, which makes the certificate. */
export async function startTlsFront(endpointUrl: string): Promise<TlsFront | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-tls-'));
  const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  // EC2's own certificates are RSA, 2048 bits.
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-noenc', '-days', '1', '-subj', '/CN=localhost'];
  const names = ['-addext', 'subjectAltName=DNS:localhost'];
  try {
    await promisify(execFile)('openssl', [...request, ...names, '-keyout', keyFile, '-out', certificateFile]);
  } catch (error) {
    await rm(folder, { recursive: true });
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const port = Number(new URL(endpointUrl).port);
  const [key, cert] = await Promise.all([readFile(keyFile), readFile(certificateFile)]);
  // Without Nagle's algorithm: a proxy that waits for acknowledgements would add 40 ms of its own.
  const server = createServer({ key, cert, noDelay: true }, (client) => {
    const endpoint = connect({ port, host: '127.0.0.1', noDelay: true });
    client.pipe(endpoint).pipe(client);
    // A client's process that ends takes its connection with it.
    client.on('error', () => endpoint.destroy());
    endpoint.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    certificateFile,
    close: async () => {
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}
