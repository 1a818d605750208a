// EC2's query protocol: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html
import { randomUUID } from 'node:crypto';

/** An error that EC2 or Auto Scaling answers with: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html */
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

/** An element of XML; an empty text if the content is undefined. */
export function element(name: string, content: string | undefined): string {
  return content === undefined ? '' : `<${name}>${escapeXml(content)}</${name}>`;
}

function escapeXml(content: string): string {
  return content.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** How a service writes its answers. */
export interface Protocol {
  success(action: string, content: string): string;
  error(error: Ec2Error): string;
}

export const EC2_PROTOCOL: Protocol = {
  success(action, content) {
    const requestId = `<requestId>${randomUUID()}</requestId>`;
    return `<${action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">${requestId}${content}</${action}Response>`;
  },
  error({ code, message }) {
    const error = `<Error>${element('Code', code)}${element('Message', message)}</Error>`;
    return `<Response><Errors>${error}</Errors><RequestID>${randomUUID()}</RequestID></Response>`;
  },
};

const AUTO_SCALING_XMLNS = 'xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"';

/** https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html */
export const AUTO_SCALING_PROTOCOL: Protocol = {
  success(action, content) {
    const result = `<${action}Result>${content}</${action}Result>`;
    const metadata = `<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata>`;
    return `<${action}Response ${AUTO_SCALING_XMLNS}>${result}${metadata}</${action}Response>`;
  },
  error({ code, message, status }) {
    const type = `<Type>${status < 500 ? 'Sender' : 'Receiver'}</Type>`;
    const error = `<Error>${type}${element('Code', code)}${element('Message', message)}</Error>`;
    return `<ErrorResponse ${AUTO_SCALING_XMLNS}>${error}<RequestId>${randomUUID()}</RequestId></ErrorResponse>`;
  },
};
