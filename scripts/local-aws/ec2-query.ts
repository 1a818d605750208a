// EC2's query protocol: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';

/** An error that EC2 answers with: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html */
export class Ec2Error extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** The values of `Name.1`, `Name.2`, … */
export function list(parameters: URLSearchParams, name: string): string[] {
  const values: string[] = [];
  for (;;) {
    const value = parameters.get(`${name}.${values.length + 1}`);
    if (value === null) return values;
    values.push(value);
  }
}

export function escapeXml(content: string): string {
  return content.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function sendSuccess(response: ServerResponse, action: string, content: string): void {
  const xmlns = 'http://ec2.amazonaws.com/doc/2016-11-15/';
  const requestId = `<requestId>${randomUUID()}</requestId>`;
  send(response, 200, `<${action}Response xmlns="${xmlns}">${requestId}${content}</${action}Response>`);
}

export function sendAutoScalingResult(response: ServerResponse, action: string, content: string): void {
  const xmlns = 'http://autoscaling.amazonaws.com/doc/2011-01-01/';
  const metadata = `<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata>`;
  const result = `<${action}Result>${content}</${action}Result>`;
  send(response, 200, `<${action}Response xmlns="${xmlns}">${result}${metadata}</${action}Response>`);
}

export function sendError(response: ServerResponse, { code, message, status }: Ec2Error): void {
  const error = `<Error><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error>`;
  send(response, status, `<Response><Errors>${error}</Errors><RequestID>${randomUUID()}</RequestID></Response>`);
}

function send(response: ServerResponse, status: number, xml: string): void {
  response.writeHead(status, { 'content-type': 'text/xml;charset=UTF-8' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`);
}
