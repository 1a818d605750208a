import { environment, measure, type Sample } from './function.ts';
import { atShareOf, usdPerMillion } from './lambda-price.ts';
import { startEc2With, terminatingEvent } from './local-ec2.ts';
import { median, round, type Table } from './table.ts';
import { FLOOR, installed, SHIPPED, shipped, WAY_OF_2016 } from './variants.ts';

// As template.yaml has it.
const MEMORY_MB = 256;

const CALLS = 4000;
const TURNS = 5;

/** Measures how fast one warm function handles one event after the other. */
export async function warm(): Promise<Table[]> {
  const event = await terminatingEvent();
  const ec2 = await startEc2With(event);
  const contenders = [
    { name: WAY_OF_2016, path: await installed('aws-sdk-v2.cjs'), samples: [] as Sample[] },
    { name: SHIPPED, path: (await shipped()).path, samples: [] as Sample[] },
    { name: FLOOR, path: await installed('by-hand.cjs'), samples: [] as Sample[] },
  ];
  try {
    for (let turn = 1; turn <= TURNS; turn += 1) {
      console.error(`warm: turn ${turn} of ${TURNS}`);
      for (const { path, samples } of contenders) samples.push(await measure(path, event, environment(ec2.url), CALLS));
    }
  } finally {
    await ec2.close();
  }
  const results = contenders.map(({ name, samples }) => ({
    name,
    callMs: median(samples.map(({ warm, end }) => (end.ms - warm.ms) / (CALLS / 2))),
    cpuMs: median(samples.map(({ warm, end }) => (end.cpuMs - warm.cpuMs) / (CALLS / 2))),
  }));
  const floor = results.find(({ name }) => name === FLOOR);
  return [
    {
      title: 'Warm: one function, one event after the other',
      rows: results.map(({ name, callMs, cpuMs }) => ({
        variant: name,
        'calls per second': round(1000 / callMs),
        'CPU per call, ms': round(cpuMs, 2),
        'CPU of the floor': round(cpuMs / (floor?.cpuMs ?? Number.NaN), 2),
        [`a million at ${MEMORY_MB} MB, USD`]: round(
          usdPerMillion(MEMORY_MB, atShareOf(MEMORY_MB, { ms: callMs, cpuMs })),
          3,
        ),
      })),
      notes: [`The second half of ${CALLS} calls in a process; medians of ${TURNS} processes, in turns.`],
    },
  ];
}
