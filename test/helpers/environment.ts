// Neither the AWS account, the function's settings nor the terminal of whoever runs the tests may show in them.
for (const name of Object.keys(process.env)) {
  if (/^(AWS|TAG|HEARTBEAT)_|^FORCE_COLOR$/.test(name)) delete process.env[name];
}
