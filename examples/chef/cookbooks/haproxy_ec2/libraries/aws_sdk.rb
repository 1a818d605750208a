require 'rubygems/remote_fetcher'

# Finds a version of the AWS SDK that fits Chef.
module HaproxyEc2
  SDK = 'aws-sdk-ec2'.freeze

  # Chef's own package loads an older aws-sdk-core, which the newest aws-sdk-ec2 refuses.
  # @return [String] the loaded version of aws-sdk-ec2, or else the newest installed version that fits the loaded gems, or
  #   else the newest published one
  def self.sdk_version
    # Ruby can load only one version. Another cookbook or client.rb may have loaded one.
    loaded = Gem.loaded_specs[SDK]&.version
    version = loaded || newest_fitting(Gem::Specification.find_all_by_name(SDK)) || newest_fitting(published)
    return version.to_s if version

    core = Gem.loaded_specs['aws-sdk-core']&.version.inspect
    raise "no version of #{SDK} fits the loaded aws-sdk-core (#{core}); set node['haproxy_ec2']['sdk_version']"
  end

  def self.newest_fitting(specifications)
    specifications.sort_by(&:version).reverse.find { |specification| fits?(specification) }&.version
  end
  private_class_method :newest_fitting

  def self.fits?(specification)
    return false unless specification.required_ruby_version.satisfied_by?(Gem.ruby_version)

    specification.dependencies.all? do |dependency|
      loaded = Gem.loaded_specs[dependency.name]
      loaded.nil? || dependency.requirement.satisfied_by?(loaded.version)
    end
  end
  private_class_method :fits?

  def self.published
    # The same servers as the resource chef_gem.
    servers = Gem::SourceList.from(Array(Chef::Config[:rubygems_url] || 'https://rubygems.org'))
    request = Gem::Resolver::DependencyRequest.new(Gem::Dependency.new(SDK), nil)
    Gem::Resolver::BestSet.new(servers).find_all(request)
  end
  private_class_method :published
end
