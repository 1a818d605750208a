import { checkIds, type Instance } from './ec2-instances.ts';
import { escapeXml, list, paginate, readFilters, successXml, tagXml } from './ec2-query.ts';

interface Tag {
  readonly key: string;
  /** DeleteTags without a value deletes the tag with any value. */
  readonly value: string | undefined;
}

export function createTags(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  for (const { tags } of targets(parameters, instances)) {
    for (const { key, value = '' } of tagList(parameters)) tags.set(key, value);
  }
  return successXml('CreateTags', '<return>true</return>');
}

export function deleteTags(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  const named = tagList(parameters);
  for (const { tags } of targets(parameters, instances)) {
    // A call that names no tag deletes every tag except those of AWS.
    const toDelete: Tag[] = named.length > 0 ? named : [...tags.keys()].map((key) => ({ key, value: undefined }));
    for (const { key, value } of toDelete) {
      if (!key.startsWith('aws:') && (value === undefined || tags.get(key) === value)) tags.delete(key);
    }
  }
  return successXml('DeleteTags', '<return>true</return>');
}

function targets(parameters: URLSearchParams, instances: Map<string, Instance>): Instance[] {
  const ids = list(parameters, 'ResourceId');
  checkIds(ids, instances);
  return ids.flatMap((id) => instances.get(id) ?? []);
}

/** The pairs `Tag.1.Key` and `Tag.1.Value`, `Tag.2.Key` … */
function tagList(parameters: URLSearchParams): Tag[] {
  const tags: Tag[] = [];
  for (let n = 1; ; n += 1) {
    const key = parameters.get(`Tag.${n}.Key`);
    if (key === null) return tags;
    tags.push({ key, value: parameters.get(`Tag.${n}.Value`) ?? undefined });
  }
}

export function describeTags(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  const matchesFilters = readFilters(parameters);
  const tags = [...instances]
    .flatMap(([id, { tags }]) => [...tags].map(([key, value]) => ({ id, key, value })))
    .filter(({ id, key, value }) => matchesFilters({ 'resource-id': id, 'resource-type': 'instance', key, value }))
    .map(({ id, key, value }) => {
      const resource = `<resourceId>${escapeXml(id)}</resourceId><resourceType>instance</resourceType>`;
      return `<item>${resource}${tagXml(key, value)}</item>`;
    });
  const { items, nextToken } = paginate(parameters, tags);
  return successXml('DescribeTags', `<tagSet>${items}</tagSet>${nextToken}`);
}
