import { expect, test } from 'vitest';
import { temporaryFolder } from '../../temporary-folder.ts';
import { chef } from './chef.ts';

test('chef asks the user to accept the licence of Chef', async () => {
  await expect(chef.requirement({ PATH: process.env.PATH })).rejects.toThrow(
    /^Chef's licence is not accepted.*CHEF_LICENSE=accept-no-persist npm run drain -- --consumer chef$/,
  );
});

test('chef says how to install Chef when it is missing', async () => {
  await using folder = await temporaryFolder('chef-');
  await expect(chef.requirement({ CHEF_LICENSE: 'accept-no-persist', PATH: folder.path })).rejects.toThrow(
    /^Chef is not installed: .*bundle install --gemfile examples\/chef\/Gemfile$/,
  );
});
