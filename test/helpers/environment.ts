// Tests must not depend on the user's AWS account, settings of the function, or terminal.
for (const name of Object.keys(process.env)) {
  if (/^(AWS|TAG|HEARTBEAT)_|^FORCE_COLOR$/.test(name)) delete process.env[name];
}
