import { readFileSync } from 'node:fs';
import { parseDocument, type YAMLSeq } from 'yaml';

/** The text of template.yaml. */
export const TEMPLATE_TEXT = readFileSync(new URL('../../template.yaml', import.meta.url), 'utf8');

interface Parameter {
  readonly Type: 'String' | 'Number' | 'CommaDelimitedList';
  readonly Default?: string | number;
  readonly AllowedPattern?: string;
  readonly AllowedValues?: readonly (string | number)[];
  readonly MinValue?: number;
  readonly MaxValue?: number;
}

interface Resource {
  readonly Type: string;
  readonly Condition?: string;
  readonly DependsOn?: string | readonly string[];
  readonly Metadata?: unknown;
  readonly DeletionPolicy?: string;
  readonly Properties: Readonly<Record<string, unknown>>;
}

interface Template {
  readonly Parameters: Readonly<Record<string, Parameter>>;
  readonly Conditions: Readonly<Record<string, unknown>>;
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs: Readonly<Record<string, { readonly Value: unknown }>>;
}

/** The stack that CloudFormation would make from the template. */
export interface Stack {
  /** By logical id. A reference to another resource is `Id` or `Id.Attribute`. */
  readonly resources: Readonly<Record<string, Resource>>;
  readonly outputs: Readonly<Record<string, unknown>>;
}

const INTRINSICS = ['Equals', 'Not', 'And', 'If', 'Sub', 'GetAtt', 'Select', 'Split', 'Join'].map(
  (name) => `Fn::${name}`,
);

/** The template as data, with functions in CloudFormation's long form: `{"Fn::If": […]}`. */
export const TEMPLATE = readTemplate();

function readTemplate(): Template {
  const customTags = ['Ref', 'Condition', ...INTRINSICS].flatMap((name) => {
    const tag = name.replace(/^(Fn::)?/, '!');
    return [
      { tag, resolve: (text: string) => ({ [name]: text }) },
      { tag, collection: 'seq' as const, resolve: (list: unknown) => ({ [name]: (list as YAMLSeq).toJSON() }) },
    ];
  });
  const document = parseDocument(TEMPLATE_TEXT, { customTags });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) throw problem;
  return document.toJS();
}

/** Makes the stack with these parameters, the defaults for the others. */
export function deploy(parameters: Record<string, string | number> = {}): Stack {
  const values: Record<string, unknown> = {
    'AWS::AccountId': '123456789012',
    'AWS::NoValue': undefined,
    'AWS::Partition': 'aws',
    'AWS::Region': 'us-west-2',
    'AWS::StackName': 'remove-from-lb',
  };
  for (const [name, { Default, Type }] of Object.entries(TEMPLATE.Parameters)) {
    const value = parameters[name] ?? Default;
    values[name] = Type === 'CommaDelimitedList' ? itemsOf(value) : value;
  }

  function reference(name: string): unknown {
    if (name in values) return values[name];
    if ((name.split('.', 1)[0] as string) in TEMPLATE.Resources) return name;
    throw new Error(`template.yaml refers to ${name}, but has no such resource`);
  }

  function holds(condition: string): boolean {
    return resolve(TEMPLATE.Conditions[condition]) === true;
  }

  function substitute(text: string, local: Record<string, unknown>): string {
    return text.replace(/\$\{([^}]+)\}/g, (_, name: string) => String(name in local ? local[name] : reference(name)));
  }

  function resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(resolve).filter((item) => item !== undefined);
    if (typeof value !== 'object' || value === null) return value;
    // A function stands alone in its object.
    const [[name, operand] = [], ...others] = Object.entries(value);
    const operands = (Array.isArray(operand) ? operand : [operand]) as [string, ...unknown[]];
    switch (others.length === 0 ? name : undefined) {
      case 'Ref':
      case 'Fn::GetAtt':
        return reference(operands[0]);
      case 'Condition':
        return holds(operands[0]);
      case 'Fn::Equals':
        return resolve(operands[0]) === resolve(operands[1]);
      case 'Fn::Not':
        return !resolve(operands[0]);
      case 'Fn::And':
        return operands.every((part) => resolve(part));
      case 'Fn::If':
        return resolve(operands[holds(operands[0]) ? 1 : 2]);
      case 'Fn::Sub':
        return substitute(operands[0], resolve(operands[1] ?? {}) as Record<string, unknown>);
      case 'Fn::Select':
        return (resolve(operands[1]) as unknown[])[Number(operands[0])];
      case 'Fn::Split':
        return String(resolve(operands[1])).split(operands[0]);
      case 'Fn::Join':
        return (resolve(operands[1]) as unknown[]).join(operands[0]);
      default:
        return Object.fromEntries(
          Object.entries(value)
            .map(([key, item]) => [key, resolve(item)])
            .filter(([, item]) => item !== undefined),
        );
    }
  }

  const made = Object.entries(TEMPLATE.Resources).filter(([, { Condition }]) => !Condition || holds(Condition));
  const resources = made.map(([id, { Properties = {}, Metadata, ...others }]) => [
    id,
    { ...others, Properties: resolve(Properties), ...(Metadata !== undefined && { Metadata: resolve(Metadata) }) },
  ]);
  const outputs = Object.entries(TEMPLATE.Outputs).map(([name, { Value }]) => [name, resolve(Value)]);
  return { resources: Object.fromEntries(resources), outputs: Object.fromEntries(outputs) };
}

/** The items of a CommaDelimitedList. The empty text has one item, as in CloudFormation. */
export function itemsOf(list: unknown): string[] {
  return String(list)
    .split(',')
    .map((item) => item.trim());
}

/** The properties of one resource, in the shape that its type has. */
export function propertiesOf<Shape>({ resources }: Stack, id: string): Shape {
  const resource = resources[id];
  if (!resource) throw new Error(`the stack has no ${id}; it has ${Object.keys(resources).join(', ')}`);
  return resource.Properties as Shape;
}

/** Every resource of a type, by its logical id. */
export function ofType<Shape>({ resources }: Stack, type: string): Record<string, Shape> {
  const found = Object.entries(resources).filter(([, { Type }]) => Type === type);
  return Object.fromEntries(found.map(([id, { Properties }]) => [id, Properties as Shape]));
}
