require 'timeout'

# Reads HAProxy's servers from EC2.
module HaproxyEc2
  # EC2's maximum. Without a page size, EC2 puts all instances on one page.
  PAGE_SIZE = 1000
  # Only Auto Scaling can set a tag with this prefix.
  GROUP_TAG = 'aws:autoscaling:groupName'.freeze
  # For all pages and all attempts together.
  TIMEOUT_SECONDS = 20
  # `standard` waits for a random time between two attempts.
  CLIENT_OPTIONS = { http_open_timeout: 5, http_read_timeout: 5, retry_mode: 'standard', max_attempts: 5 }.freeze

  # The running members of Auto Scaling groups without the removal tag, always in the same order.
  # @param settings [Hash] the attributes of this cookbook
  # @return [Array<Hash>] never empty, because a wrong name must not empty the load balancer
  def self.servers(settings)
    members = tags_of(settings, 'member_tag')
    removals = tags_of(settings, 'removal_tag')
    port = port_of(settings)
    instances = running(settings['region'], members)
    kept = instances.reject { |instance| (tags(instance) & removals).any? }
    servers = kept.sort_by(&:instance_id).filter_map do |instance|
      address = address_of(instance)
      { id: instance.instance_id, address: address, port: port } if address
    end
    return servers if servers.any?

    group = members.map { |tag| tag.join('=') }.join(' or ')
    raise "no server to keep in #{group}, of #{instances.size} running; HAProxy is left as it is"
  end

  def self.running(region, members)
    Timeout.timeout(TIMEOUT_SECONDS, nil, "EC2 did not answer within #{TIMEOUT_SECONDS} s") do
      # May ask AWS for the credentials of a role.
      ec2 = Aws::EC2::Client.new(**CLIENT_OPTIONS, **{ region: region }.compact)
      pages = ec2.describe_instances(
        filters: [
          { name: "tag:#{members[0][0]}", values: members.map { |_, value| literal(value) } },
          # Everybody who may tag instances can set a role tag, but not this tag.
          { name: 'tag-key', values: [GROUP_TAG] },
          { name: 'instance-state-name', values: ['running'] },
        ],
        max_results: PAGE_SIZE
      )
      instances = pages.flat_map(&:reservations).flat_map(&:instances)
      instances.select { |instance| tags(instance).to_h.key?(GROUP_TAG) }
    end
  end
  private_class_method :running

  # `*`, `?` and `\` have a meaning in EC2's filters.
  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
  def self.literal(value)
    value.gsub(/[*?\\]/) { |character| "\\#{character}" }
  end
  private_class_method :literal

  def self.tags(instance)
    instance.tags.map { |tag| [tag.key, tag.value] }
  end
  private_class_method :tags

  # HAProxy would send requests for a server without an address to itself.
  def self.address_of(instance)
    return instance.private_ip_address unless instance.private_ip_address.to_s.empty?

    at_interfaces = instance.network_interfaces.flat_map(&:ipv_6_addresses).map(&:ipv_6_address)
    ipv6 = [instance.ipv_6_address, *at_interfaces].find { |address| !address.to_s.empty? }
    # HAProxy needs the brackets to find the port.
    return "[#{ipv6}]" if ipv6

    Chef::Log.warn("#{instance.instance_id} has no private IPv4 address and no IPv6 address; HAProxy does not get this server")
    nil
  end
  private_class_method :address_of

  # A tag for each value, all as text: in an attribute, `true` and `8080` may stand without quotes.
  def self.tags_of(settings, name)
    key = settings[name]['key'].to_s
    values = Array(settings[name]['value']).map(&:to_s)
    raise "node['haproxy_ec2']['#{name}']['key'] is #{settings[name]['key'].inspect}; expected the key of a tag" if key.empty?
    return values.map { |value| [key, value] } unless values.empty? || values.include?('')

    raise "node['haproxy_ec2']['#{name}']['value'] is #{settings[name]['value'].inspect}; expected the value of #{key}"
  end
  private_class_method :tags_of

  def self.port_of(settings)
    port = settings['port']
    return port.to_s.to_i if port.to_s.match?(/\A[1-9]\d{0,4}\z/) && port.to_s.to_i <= 65_535

    raise "node['haproxy_ec2']['port'] is #{port.inspect}; expected a port number from 1 to 65535"
  end
  private_class_method :port_of
end
