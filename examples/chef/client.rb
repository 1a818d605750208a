# Chef Infra Client in local mode: without a Chef server, with the cookbooks that lie beside this file.
# Each run is a fork of this process: what is loaded here is loaded once, not by each run anew.
require 'aws-sdk-ec2'
require 'inspec'
# The SDK loads its client when somebody first names it.
Aws::EC2.const_get(:Client)

chef_repo_path __dir__
