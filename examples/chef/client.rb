# Configures Chef Infra Client in local mode: no Chef server, and the cookbooks beside this file.
# Each run is a fork of this process. Load the gems of every run here, so that Ruby loads them only once.
require 'aws-sdk-ec2'
require 'inspec'
# The SDK loads its client at the first use of the name.
Aws::EC2.const_get(:Client)

chef_repo_path __dir__
