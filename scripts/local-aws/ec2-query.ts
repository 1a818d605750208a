// EC2's query protocol: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';

/** An error that EC2 answers with: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html */
export class Ec2Error extends Error {
  override readonly name = 'Ec2Error';
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
  for (;;) {
    const value = parameters.get(`${name}.${values.length + 1}`);
    if (value === null) return values;
    values.push(value);
  }
}

// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
const MAX_FILTER_VALUES = 200;

/**
 * Reads `Filter.1`, `Filter.2`, …
 * @returns a function that says whether a resource with these attributes matches every filter.
 */
export function readFilters(parameters: URLSearchParams) {
  const filters: { name: string; values: ReadonlySet<string> }[] = [];
  for (let n = 1; parameters.has(`Filter.${n}.Name`); n += 1) {
    const values = new Set(list(parameters, `Filter.${n}.Value`));
    if (values.size > MAX_FILTER_VALUES) {
      throw new Ec2Error('FilterLimitExceeded', `The maximum number of filter values is ${MAX_FILTER_VALUES}`);
    }
    filters.push({ name: parameters.get(`Filter.${n}.Name`) ?? '', values });
  }
  return function matchesFilters(attributes: Readonly<Record<string, string>>): boolean {
    return filters.every(({ name, values }) => {
      const value = attributes[name];
      if (value !== undefined) return values.has(value);
      if (name.startsWith('tag:')) return false;
      throw new Ec2Error('InvalidParameterValue', `The filter '${name}' is invalid`);
    });
  };
}

// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html
const PAGE_SIZE = { smallest: 5, largest: 1000 } as const;

/**
 * The items of the page that `MaxResults` and `NextToken` name, and the element that names the next page. Without
 * `MaxResults`, pages have the largest size, so that tests notice a caller that ignores the token.
 */
export function paginate(parameters: URLSearchParams, items: readonly string[]): { items: string; nextToken: string } {
  const size = Number(parameters.get('MaxResults') ?? PAGE_SIZE.largest);
  if (!(size >= PAGE_SIZE.smallest && size <= PAGE_SIZE.largest)) {
    const expected = `Expecting a value between ${PAGE_SIZE.smallest} and ${PAGE_SIZE.largest}`;
    throw new Ec2Error('InvalidParameterValue', `Value ( ${size} ) for parameter maxResults is invalid. ${expected}.`);
  }
  const from = Number(parameters.get('NextToken') ?? 0);
  const to = from + size;
  return {
    items: items.slice(from, to).join(''),
    nextToken: to < items.length ? `<nextToken>${to}</nextToken>` : '',
  };
}

export function successXml(action: string, content: string): string {
  const xmlns = 'http://ec2.amazonaws.com/doc/2016-11-15/';
  return `<${action}Response xmlns="${xmlns}"><requestId>${randomUUID()}</requestId>${content}</${action}Response>`;
}

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
