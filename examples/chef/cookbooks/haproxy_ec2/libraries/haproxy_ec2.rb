# Reads HAProxy's servers from EC2.
module HaproxyEc2
  # EC2's maximum. Without a page size, EC2 puts all instances on one page.
  PAGE_SIZE = 1000

  # The running members without the removal tag, always in the same order.
  # @param ec2 [Aws::EC2::Client]
  # @param settings [Hash] the attributes of this cookbook
  # @return [Array<Hash>] never empty, because a wrong name must not empty the load balancer
  def self.servers(ec2, settings)
    member, removal = settings.values_at('member_tag', 'removal_tag')
    if member['value'].to_s.empty?
      raise "node['haproxy_ec2']['member_tag']['value'] is #{member['value'].inspect}; expected the value of #{member['key']}"
    end

    pages = ec2.describe_instances(
      filters: [
        { name: "tag:#{member['key']}", values: [member['value']] },
        { name: 'instance-state-name', values: ['running'] },
      ],
      max_results: PAGE_SIZE
    )
    instances = pages.flat_map(&:reservations).flat_map(&:instances)
    kept = instances.reject do |instance|
      instance.tags.any? { |tag| tag.key == removal['key'] && tag.value == removal['value'] }
    end
    if kept.empty?
      raise "no server to keep in #{member['key']}=#{member['value']}, of #{instances.size} running; HAProxy is left as it is"
    end

    kept.sort_by(&:instance_id).map do |instance|
      { id: instance.instance_id, address: instance.private_ip_address, port: settings['port'] }
    end
  end
end
