require 'ipaddr'
require 'socket'
require 'timeout'

# Compares the running HAProxy with its configuration.
module HaproxyEc2
  ANSWER_SECONDS = 2

  def self.checksum(config)
    "#{Chef::Digester.checksum_for_file(config)}\n"
  end

  # A reload may succeed although the new worker does not start. Then the old worker goes on with the old servers.
  # @param stats_socket [String] path of the stats socket
  # @param servers [Array<Hash>] the servers in the configuration
  # @raise unless HAProxy runs these servers before the time is over
  def self.wait_until_loaded(stats_socket, config, servers, seconds: 20)
    deadline = monotonic + seconds
    while (problem = problem_of(stats_socket, config, servers))
      if monotonic > deadline
        raise "HAProxy does not run the new configuration #{seconds} s after the reload: #{problem}. The next run reloads again"
      end

      sleep 0.1
    end
  end

  # @return [String, nil]
  def self.problem_of(stats_socket, config, servers)
    answer = ask(stats_socket, 'show info;show servers state')
    started = answer[/^Start_time_sec: (\d+)$/, 1].to_i
    return 'its worker is older than the configuration' if started < File.mtime(config).to_i

    # Backend and server, each with id and name, and then the server's address.
    actual = answer.scan(/^\d+ \S+ \d+ (i-\h+) (\S+) /).map { |server| server.join(' ') }.uniq
    expected = servers.map { |server| "#{server[:id]} #{IPAddr.new(server[:address])}" }
    return if actual.sort == expected.sort

    "#{difference(expected - actual)} missing, #{difference(actual - expected)} left over"
  rescue SystemCallError, Timeout::Error => e
    "node['haproxy_ec2']['stats_socket'] is #{stats_socket.inspect}; expected a stats socket of HAProxy (#{e.message})"
  end
  private_class_method :problem_of

  def self.difference(servers)
    servers.empty? ? 'no server' : servers.join(', ')
  end
  private_class_method :difference

  def self.ask(stats_socket, commands)
    Timeout.timeout(ANSWER_SECONDS, nil, 'no answer') do
      UNIXSocket.open(stats_socket) do |socket|
        socket.write("#{commands}\n")
        socket.close_write
        socket.read
      end
    end
  end
  private_class_method :ask

  def self.monotonic
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
  private_class_method :monotonic
end
