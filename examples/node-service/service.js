// Works for some seconds on each request, says how far it is, and stops when nobody waits for the result any more.
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Consumer, Producer } from '@platformatic/kafka'
import { Feedback } from './feedback.js'

const text = (value) => ({ type: 'string', default: value })
const { values: options } = parseArgs({
  options: {
    kafka: text('localhost:9092'),
    group: text('node-service'),
    requests: text('activity-requests'),
    replies: text('activity-replies'),
    outcomes: text('activity-outcomes'),
    beat: text('10')
  }
})
const brokers = options.kafka.split(',')

const producer = new Producer({ clientId: 'node-service', bootstrapBrokers: brokers })
const consumer = new Consumer({ clientId: 'node-service', groupId: options.group, bootstrapBrokers: brokers })
const feedback = new Feedback()
await feedback.open(brokers, options.outcomes)

// Input: [{"seconds": 3, "numbers": [1, 2]}]. Fails when there is nothing to add up.
async function work (request, reply) {
  const [{ seconds = 0, numbers = [] }] = request.input
  const timeout = request.heartbeat_timeout_seconds
  const beat = Math.min(Number(options.beat), timeout ? timeout / 3 : Infinity) * 1000
  const end = Date.now() + seconds * 1000
  for (let due = Date.now(); Date.now() < end; await pause(100)) {
    const news = feedback.of(request.activity)
    if (news) {
      console.log(`no longer wanted: ${news}`)
      return news === 'cancel' ? reply({ action: 'cancel', details: { by: 'feedback' } }) : undefined
    }
    if (Date.now() >= due) {
      await reply({ action: 'heartbeat', details: { seconds_left: Math.round((end - Date.now()) / 1000) } })
      due = Date.now() + beat
    }
  }
  if (numbers.length === 0) return reply({ failure: { reason: 'NothingToAdd', details: { input: request.input } } })
  return reply({ result: { sum: numbers.reduce((a, b) => a + b) } })
}

const stream = await consumer.consume({ topics: [options.requests], autocommit: false, mode: 'committed', fallbackMode: 'earliest', maxWaitTime: 200 })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
console.log('ready')
for await (const message of stream) {
  const request = JSON.parse(message.value)
  await work(request, (answer) => producer.send({
    // The request's key: replies to one activity stay in order.
    messages: [{ topic: request.reply_to ?? options.replies, key: message.key, value: Buffer.from(JSON.stringify({ task_token: request.task_token, ...answer })) }],
    acks: -1
  }))
  // Only now: if this process dies at work, the request comes again.
  await message.commit()
}
