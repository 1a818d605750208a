// Loads the function that the first argument names, as Lambda's runtime does, calls it once with the event in the second,
// and prints what it took. CommonJS, with nothing required before the function.
const [, , path = '', text = ''] = process.argv;
const { handler } = require(path);
const load = taken();
const event = JSON.parse(text);
// In Lambda the console is set up before; here it would count against the functions that write a log line.
console.info = () => {};

void run().then((sample) => require('node:fs').writeSync(1, JSON.stringify(sample)));

async function run() {
  await handler(event, {
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:123456789012:function:remove-from-lb`,
    getRemainingTimeInMillis: () => 15_000,
  });
  return { load, first: taken(), peakBytes: process.resourceUsage().maxRSS * 1024 };
}

/** Milliseconds since the process started, and CPU time since then. */
function taken() {
  const ms = process.uptime() * 1000;
  const { user, system } = process.cpuUsage();
  return { ms, cpuMs: (user + system) / 1000 };
}
