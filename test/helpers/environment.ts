// Tests must not depend on the user's AWS account, on settings of the function, or on the terminal.
for (const name of Object.keys(process.env)) {
  if (/^(AWS|TAG|HEARTBEAT)_|^(FORCE|NO)_COLOR$/.test(name)) delete process.env[name];
}
