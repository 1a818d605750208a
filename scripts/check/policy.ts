/** A statement of a resource's policy, as far as the check reads it. */
export interface Statement {
  readonly Effect?: string;
  readonly Principal?: string | { readonly Service?: string | readonly string[] };
  readonly Condition?: { readonly ArnLike?: { readonly 'AWS:SourceArn'?: string } };
}

/** The statements of a policy, a JSON text, that allow something to a service of AWS. */
export function allowsOf(policy: string, service: string): readonly Statement[] {
  const { Statement = [] }: { Statement?: Statement | readonly Statement[] } = JSON.parse(policy);
  return [Statement].flat().filter(({ Effect, Principal }) => {
    const services = typeof Principal === 'object' ? [Principal.Service ?? []].flat() : [];
    return Effect === 'Allow' && services.includes(service);
  });
}
