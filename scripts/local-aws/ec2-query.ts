// EC2's query protocol: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';

/** An error of EC2's as an answer; https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly code: string;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** The values of `Name.1`, `Name.2`, … */
export function list(parameters: URLSearchParams, name: string): string[] {
  const values: string[] = [];
  for (let n = 1; ; n += 1) {
    const value = parameters.get(`${name}.${n}`);
    if (value === null) return values;
    values.push(value);
  }
}

// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
const MAX_FILTER_VALUES = 200;

/** Reads every `Filter.n`. The result tells whether attributes match all filters; one value of a filter is enough. */
export function readFilters(parameters: URLSearchParams) {
  const filters: { name: string; values: ReadonlySet<string> }[] = [];
  for (let n = 1; parameters.has(`Filter.${n}.Name`); n += 1) {
    const name = parameters.get(`Filter.${n}.Name`) ?? '';
    const values = new Set(list(parameters, `Filter.${n}.Value`));
    if (values.size > MAX_FILTER_VALUES) {
      throw new Refusal('FilterLimitExceeded', `The maximum number of filter values is ${MAX_FILTER_VALUES}`);
    }
    filters.push({ name, values });
  }
  return (attributes: Readonly<Record<string, string[]>>): boolean =>
    filters.every(({ name, values }) => {
      const actual = attributes[name] ?? (name.startsWith('tag:') ? [] : undefined);
      if (actual === undefined) throw new Refusal('InvalidParameterValue', `The filter '${name}' is invalid`);
      return actual.some((value) => values.has(value));
    });
}

/**
 * The bounds of `MaxResults`, as DescribeTags has them
 * (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html).
 */
const PAGE_SIZE = { smallest: 5, largest: 1000 } as const;

/**
 * The items of the page that `MaxResults` and `NextToken` ask for, and the element that names the next page. Without
 * `MaxResults` EC2 does not say how many it gives: here the largest page, so that a caller that overlooks the token is
 * found out.
 */
export function page(parameters: URLSearchParams, items: readonly string[]): { items: string; nextToken: string } {
  const size = Number(parameters.get('MaxResults') ?? PAGE_SIZE.largest);
  if (!Number.isInteger(size) || size < PAGE_SIZE.smallest || size > PAGE_SIZE.largest) {
    const expected = `Expecting a value between ${PAGE_SIZE.smallest} and ${PAGE_SIZE.largest}`;
    throw new Refusal('InvalidParameterValue', `Value ( ${size} ) for parameter maxResults is invalid. ${expected}.`);
  }
  const token = parameters.get('NextToken');
  const from = token === null ? 0 : Number(Buffer.from(token, 'base64url').toString());
  if (!Number.isInteger(from)) {
    throw new Refusal('InvalidPaginationToken', `The pagination token '${token}' is not valid`);
  }
  const to = from + size;
  return {
    items: items.slice(from, to).join(''),
    nextToken: to < items.length ? `<nextToken>${Buffer.from(String(to)).toString('base64url')}</nextToken>` : '',
  };
}

/** The answer to an action that went well. */
export function succeed(action: string, content: string): string {
  const xmlns = 'http://ec2.amazonaws.com/doc/2016-11-15/';
  return `<${action}Response xmlns="${xmlns}"><requestId>${randomUUID()}</requestId>${content}</${action}Response>`;
}

/** The answer to an action that went wrong. */
export function errorXml(code: string, message: string): string {
  const error = `<Error><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error>`;
  return `<Response><Errors>${error}</Errors><RequestID>${randomUUID()}</RequestID></Response>`;
}

export function tagXml(key: string, value: string): string {
  return `<key>${escapeXml(key)}</key><value>${escapeXml(value)}</value>`;
}

export function escapeXml(content: string): string {
  return content.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function send(response: ServerResponse, status: number, xml: string): void {
  response.writeHead(status, { 'content-type': 'text/xml;charset=UTF-8' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`);
}
