// @ts-nocheck: aws-sdk is there only once the benchmarks have run.
// The way of 2016, on the last release of the SDK of its time: the message's instance gets the tag, whatever the message says.
const { EC2 } = require('aws-sdk');

const ec2 = new EC2({ region: process.env.AWS_REGION, endpoint: process.env.AWS_ENDPOINT_URL });

exports.handler = async ({ Records: [record] }) => {
  const { EC2InstanceId: id } = JSON.parse(record.Sns.Message);
  await ec2.createTags({ Resources: [id], Tags: [{ Key: 'remove_from_lb', Value: 'yes' }] }).promise();
};
