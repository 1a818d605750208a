// @ts-nocheck: aws-sdk is there only once the benchmarks have run.
// The AWS SDK v2 of the original article, in its last release: the message's instance gets the tag, whatever the message says.
const { EC2 } = require('aws-sdk');

const ec2 = new EC2({ region: process.env.AWS_REGION, endpoint: process.env.AWS_ENDPOINT_URL });

exports.handler = async ({ Records: [record] }) => {
  const { EC2InstanceId: id } = JSON.parse(record.Sns.Message);
  await ec2.createTags({ Resources: [id], Tags: [{ Key: 'remove_from_lb', Value: 'yes' }] }).promise();
};
