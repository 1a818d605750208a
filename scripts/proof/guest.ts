import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';

/** A client that stays connected to one server, as a download does. */
export type Guest = Awaited<ReturnType<typeof connectGuest>>;

/** Connects over an HAProxy until the server of this instance answers. */
export async function connectGuest(port: number, instanceId: string, signal: AbortSignal) {
  for (;;) {
    signal.throwIfAborted();
    const answer = await begin(port, signal);
    const [first] = await once(answer, 'data', { signal });
    if (String(first) === instanceId) return guestOf(answer);
    answer.destroy();
  }
}

function guestOf(answer: IncomingMessage) {
  let state: 'connected' | 'gone' | 'cut off' = 'connected';
  answer.resume().once('close', () => {
    if (state === 'connected') state = 'cut off';
  });
  return {
    isConnected: () => state === 'connected',
    /** Closes the connection. Returns whether it was still open. */
    leave(): boolean {
      if (state === 'connected') state = 'gone';
      answer.destroy();
      return state === 'gone';
    },
  };
}

async function begin(port: number, signal: AbortSignal): Promise<IncomingMessage> {
  const asking = request({ host: '127.0.0.1', port, path: '/?stay', agent: false, signal }).end();
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  // The end of the connection is an expected event.
  asking.on('error', () => {});
  return answer.on('error', () => {});
}
