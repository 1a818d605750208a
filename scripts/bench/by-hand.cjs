// The floor: one CreateTags call signed by hand, with nothing around it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
const { createHash, createHmac } = require('node:crypto');

const { AWS_ENDPOINT_URL = '', AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
const url = new URL(AWS_ENDPOINT_URL);
const { request } = url.protocol === 'https:' ? require('node:https') : require('node:http');

/** @param {import('aws-lambda').SNSEvent} event */
exports.handler = async ({ Records: [record] }) => {
  const { EC2InstanceId: id } = JSON.parse(record?.Sns.Message ?? '');
  const body = `Action=CreateTags&Version=2016-11-15&ResourceId.1=${id}&Tag.1.Key=remove_from_lb&Tag.1.Value=yes`;
  /** @type {Promise<void>} */
  const answered = new Promise((resolve, reject) => {
    request(url, { method: 'POST', headers: sign(body) }, (response) => {
      response.resume();
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(response.statusMessage))));
    })
      .on('error', reject)
      .end(body);
  });
  await answered;
};

/** @param {string} body */
function sign(body) {
  const time = new Date().toISOString().replace(/[:-]|\.\d{3}/g, '');
  const scope = `${time.slice(0, 8)}/${AWS_REGION}/ec2/aws4_request`;
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    host: url.host,
    'x-amz-date': time,
    'x-amz-security-token': AWS_SESSION_TOKEN,
  };
  const names = Object.keys(headers).join(';');
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}`);
  const canonical = ['POST', '/', '', ...lines, '', names, sha256(body)].join('\n');
  const key = scope.split('/').reduce(hmac, `AWS4${AWS_SECRET_ACCESS_KEY}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n')).toString('hex');
  const credential = `Credential=${AWS_ACCESS_KEY_ID}/${scope}`;
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names}, Signature=${signature}`,
  };
}

/** @param {string} text */
function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * @param {import('node:crypto').BinaryLike} key
 * @param {string} text
 */
function hmac(key, text) {
  return createHmac('sha256', key).update(text).digest();
}
