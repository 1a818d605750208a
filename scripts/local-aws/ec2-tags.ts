import { checkIds, type Instance } from './ec2-instances.ts';
import { escapeXml, list, page, Refusal, readFilters, succeed, tagXml } from './ec2-query.ts';

const MAX_TAGS = 50;

/** Answers CreateTags and DeleteTags. */
export function changeTags(
  action: 'CreateTags' | 'DeleteTags',
  parameters: URLSearchParams,
  instances: Map<string, Instance>,
): string {
  const ids = list(parameters, 'ResourceId');
  if (ids.length === 0) throw new Refusal('MissingParameter', 'The request must contain the parameter resourceIdSet');
  checkIds(ids, instances);
  const tags = tagList(parameters);
  const targets = ids.flatMap((id) => instances.get(id) ?? []);
  if (action === 'CreateTags') {
    checkTags(tags, targets);
    for (const target of targets) for (const { key, value } of tags) target.tags.set(key, value ?? '');
  } else {
    for (const target of targets) {
      // With no tag named, EC2 deletes every tag but its own.
      const doomed = tags.length > 0 ? tags : [...target.tags.keys()].map((key) => ({ key, value: undefined }));
      for (const { key, value } of doomed) {
        if (!key.startsWith('aws:') && (value === undefined || target.tags.get(key) === value)) target.tags.delete(key);
      }
    }
  }
  return succeed(action, '<return>true</return>');
}

function checkTags(tags: { key: string; value: string | undefined }[], targets: Instance[]): void {
  if (tags.length === 0) throw new Refusal('MissingParameter', 'The request must contain the parameter tagSet');
  for (const { key, value = '' } of tags) {
    const rule =
      key === '' || [...key].length > 128
        ? 'its key must have 1 to 128 characters'
        : [...value].length > 256
          ? 'its value must have at most 256 characters'
          : /^aws:/i.test(key) && "keys starting with 'aws:' are reserved";
    if (rule) throw new Refusal('InvalidParameterValue', `Tag '${key}': ${rule}`);
  }
  const full = targets.some(
    (target) => new Set([...target.tags.keys(), ...tags.map(({ key }) => key)]).size > MAX_TAGS,
  );
  if (full) throw new Refusal('TagLimitExceeded', `The maximum number of tags per resource is ${MAX_TAGS}`);
}

/** The pairs `Tag.1.Key` and `Tag.1.Value`, `Tag.2.Key` … */
function tagList(parameters: URLSearchParams): { key: string; value: string | undefined }[] {
  const tags = [];
  for (let n = 1; ; n += 1) {
    const key = parameters.get(`Tag.${n}.Key`);
    if (key === null) return tags;
    tags.push({ key, value: parameters.get(`Tag.${n}.Value`) ?? undefined });
  }
}

/** Answers DescribeTags. */
export function describeTags(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  const matches = readFilters(parameters);
  const tags = [...instances]
    .flatMap(([id, { tags }]) => [...tags].map(([key, value]) => ({ id, key, value })))
    .filter(({ id, key, value }) =>
      matches({ 'resource-id': [id], 'resource-type': ['instance'], key: [key], value: [value] }),
    )
    .map(
      ({ id, key, value }) =>
        `<item><resourceId>${escapeXml(id)}</resourceId><resourceType>instance</resourceType>${tagXml(key, value)}</item>`,
    );
  const { items, nextToken } = page(parameters, tags);
  return succeed('DescribeTags', `<tagSet>${items}</tagSet>${nextToken}`);
}
