// Loads and calls a function, as Lambda's runtime does. Prints the times. The arguments are the function's file and the
// event. CommonJS, so that Node loads nothing before the function.
const [, , path = '', text = ''] = process.argv;
const { handler } = require(path);
const loadMs = elapsedMs();
const event = JSON.parse(text);
// Lambda sets up the console before it loads a function. Here the console would count as part of the first call.
console.info = () => {};

void run().then((sample) => require('node:fs').writeSync(1, JSON.stringify(sample)));

async function run() {
  await handler(event, {
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:123456789012:function:remove-from-lb`,
    getRemainingTimeInMillis: () => 15_000,
  });
  return { loadMs, totalMs: elapsedMs(), peakBytes: process.resourceUsage().maxRSS * 1024 };
}

/** Milliseconds since the process started. */
function elapsedMs() {
  return process.uptime() * 1000;
}
