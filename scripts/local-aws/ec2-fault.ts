import type { ServerResponse } from 'node:http';
import { errorXml, send } from './ec2-query.ts';

/** A fault of one call: an error in EC2's XML, a page from a proxy, a reset, no answer, or a body without its end. */
export type Fault =
  | { readonly status: number; readonly code: string }
  | { readonly status: number; readonly html: string }
  | 'reset'
  | 'hang'
  | 'hang in body'
  | 'reset in body';

export function answerFault(fault: Fault, response: ServerResponse): void {
  if (fault === 'hang') return;
  if (fault === 'reset') {
    response.socket?.resetAndDestroy();
  } else if (fault === 'hang in body' || fault === 'reset in body') {
    response.writeHead(200, { 'content-type': 'text/xml', 'content-length': 1000 });
    response.write('<?xml version="1.0"', () => {
      if (fault === 'reset in body') response.socket?.resetAndDestroy();
    });
  } else if ('html' in fault) {
    response.writeHead(fault.status, { 'content-type': 'text/html' }).end(fault.html);
  } else {
    send(response, fault.status, errorXml(fault.code, `${fault.code}, a fault that a test asked for`));
  }
}
