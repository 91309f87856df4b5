// A web service over a base with adapters. The same lines serve this package's engine, onnxruntime or llama.cpp:
//   npm install fastify
//   node examples/serve.mjs native base german=run/demo/adapter
//   curl -s localhost:8080/generate -H 'content-type: application/json' -d '{"prompt": "Fellow citizens", "adapter": "german"}'
//   curl -s localhost:8080/score -H 'content-type: application/json' -d '{"prompt": "The sky is", "continuations": [" blue", " green"]}'
// Requests wait for one another; for more at once, run more processes: the base is mapped and shared.
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import { OneroundError, openRuntime } from 'oneround'

const [kind, model, ...named] = process.argv.slice(2)
if (model === undefined) {
  console.error('usage: node serve.mjs native|onnx|llama.cpp MODEL [NAME=ADAPTER ..]')
  process.exit(2)
}
const adapters = Object.fromEntries(named.map((entry) => entry.split('=')))
const runtime = await openRuntime(kind, { model, adapters })

const text = { type: 'string', maxLength: 100_000 }
const shared = { prompt: text, adapter: { type: 'string' } }
const generation = {
  type: 'object',
  additionalProperties: false,
  required: ['prompt'],
  properties: { ...shared, maxTokens: { type: 'integer', minimum: 1, maximum: 1024 }, temperature: { type: 'number' } },
}
const scoring = {
  type: 'object',
  additionalProperties: false,
  required: ['prompt', 'continuations'],
  properties: { ...shared, continuations: { type: 'array', maxItems: 64, items: text } },
}

const server = Fastify({ logger: true })
server.setErrorHandler((error, _request, reply) => {
  const asked = error instanceof OneroundError && ['ARGUMENT', 'NOT_FOUND'].includes(error.code)
  const status = asked ? 400 : (error.statusCode ?? 500)
  reply.code(status).send({ error: error.message, fix: error.fix })
})
server.post('/generate', { schema: { body: generation } }, async (request, reply) => {
  const { prompt, ...options } = request.body
  const stop = new AbortController()
  reply.raw.on('close', () => stop.abort())
  const pieces = runtime.generate(prompt, { ...options, signal: stop.signal })
  // The first piece before the headers: what is wrong with a request is answered with its own status.
  const first = await pieces.next()
  const rest = async function* () {
    if (!first.done) yield first.value
    yield* pieces
  }
  return reply.type('text/plain; charset=utf-8').send(Readable.from(rest()))
})
server.post('/score', { schema: { body: scoring } }, ({ body: { prompt, continuations, ...options } }) =>
  runtime.score(prompt, continuations, options),
)

const close = async () => {
  await server.close()
  await runtime.close()
}
process.once('SIGINT', close)
process.once('SIGTERM', close)
await server.listen({ port: Number(process.env.PORT ?? 8080) })
