// An OpenID provider by the certified oidc-provider. Whoever comes is signed in
// as the current person. It prints its address. /control/person sets who comes (JSON), /control/rotate
// signs with a new key, /control/fire lets the person leave.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { Provider } from 'oidc-provider';

const people = new Map();
let current;
let keys = [newKey()];

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

// What the provider remembers, also when it gets a new key.
const memory = new Map();

class Memory {
  constructor(kind) { this.kind = kind; }
  key(id) { return `${this.kind} ${id}`; }
  by(field, value) { return [...memory].find(([k, v]) => k.startsWith(`${this.kind} `) && v[field] === value)?.[1]; }
  async upsert(id, payload) { memory.set(this.key(id), payload); }
  async find(id) { return memory.get(this.key(id)); }
  async findByUserCode(code) { return this.by('userCode', code); }
  async findByUid(uid) { return this.by('uid', uid); }
  async consume(id) { memory.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { memory.delete(this.key(id)); }
  async revokeByGrantId(grant) { for (const [k, v] of memory) if (v.grantId === grant) memory.delete(k); }
}

function make(issuer) {
  return new Provider(issuer, {
    adapter: Memory,
    jwks: { keys },
    clients: [{
      client_id: 'sluice', client_secret: 'client secret', application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      redirect_uris: ['http://127.0.0.1/callback', 'http://127.0.0.1/signin/callback'],
    }],
    cookies: { keys: ['a key for cookies'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'offline_access'],
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false }, deviceFlow: { enabled: true }, revocation: { enabled: true } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: async () => true,
    findAccount: async (_, id) => people.has(id) ? { accountId: id, claims: async () => people.get(id) } : undefined,
  });
}

const body = async (req) => {
  let text = '';
  for await (const chunk of req) text += chunk;
  return text;
};

let provider, handle;
const server = createServer(async (req, res) => {
  try {
    if (req.url === '/control/person') {
      current = JSON.parse(await body(req));
      people.set(current.sub, current);
    } else if (req.url === '/control/rotate') {
      keys = [newKey()];
      start();
    } else if (req.url === '/control/fire') {
      people.delete(current.sub);
    } else if (req.url.startsWith('/interaction/')) {
      const { params } = await provider.interactionDetails(req, res);
      const grant = new provider.Grant({ accountId: current.sub, clientId: params.client_id });
      grant.addOIDCScope(params.scope);
      const grantId = await grant.save();
      return await provider.interactionFinished(req, res, { login: { accountId: current.sub }, consent: { grantId } });
    } else {
      return handle(req, res);
    }
    res.end('done\n');
  } catch (e) {
    console.error(e);
    res.statusCode = 500;
    res.end(String(e));
  }
});

function start() {
  provider = make(`http://127.0.0.1:${server.address().port}`);
  provider.on('server_error', (_, e) => console.error(e));
  handle = provider.callback();
}

server.listen(0, '127.0.0.1', () => {
  start();
  console.log(`listening http://127.0.0.1:${server.address().port}`);
});
