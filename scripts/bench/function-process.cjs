// Loads the function that the first argument names, as Lambda's runtime does, calls it with the event in the second as
// often as the third says, and prints what it took. CommonJS, with nothing required before the function.
const [, , path = '', text = '', calls] = process.argv;
const { handler } = require(path);
const load = taken();
const event = JSON.parse(text);
// In Lambda the console is set up before; here it would count against the functions that write a log line.
console.info = () => {};

void run().then((result) => require('node:fs').writeSync(1, JSON.stringify(result)));

async function run() {
  await invoke();
  const first = taken();
  const half = Math.floor(Number(calls) / 2);
  for (let call = 1; call < half; call += 1) await invoke();
  const warm = taken();
  for (let call = 0; call < half; call += 1) await invoke();
  const end = taken();
  return { load, first, warm, end, peakBytes: process.resourceUsage().maxRSS * 1024 };
}

function invoke() {
  const started = Date.now();
  return handler(event, {
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:123456789012:function:remove-from-lb`,
    getRemainingTimeInMillis: () => 15_000 - (Date.now() - started),
  });
}

/** Milliseconds since the process started, and CPU time since then. */
function taken() {
  const ms = process.uptime() * 1000;
  const { user, system } = process.cpuUsage();
  return { ms, cpuMs: (user + system) / 1000 };
}
