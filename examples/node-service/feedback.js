// Which activities nobody waits for any more, as the outcome topic tells it.
import { randomUUID } from 'node:crypto'
import { Consumer } from '@platformatic/kafka'

const GONE = new Set(['superseded', 'timed_out', 'workflow_closed', 'unknown', 'not_found'])
const REMEMBERED = 10_000

const name = ({ workflow_id, run_id, activity_id, attempt }) => JSON.stringify([workflow_id, run_id, activity_id, attempt])

export class Feedback {
  #news = new Map()
  #consumer
  #stream

  async open (brokers, topic, lookbackMs = 600_000) {
    // A group of its own: every instance reads all partitions, and nothing is committed.
    this.#consumer = new Consumer({ clientId: 'feedback', groupId: `feedback-${randomUUID()}`, bootstrapBrokers: brokers })
    // From some time ago, not from the end: a cancellation is told once, perhaps to an instance that has died since.
    const ends = (await this.#consumer.listOffsets({ topics: [topic] })).get(topic)
    const since = await this.#consumer.listOffsetsWithTimestamps({ topics: [topic], timestamp: BigInt(Date.now() - lookbackMs) })
    const offsets = [...since.get(topic)].map(([partition, { offset }]) => ({ topic, partition, offset: offset >= 0n ? offset : ends[partition] }))
    this.#stream = await this.#consumer.consume({ topics: [topic], mode: 'manual', offsets, autocommit: false, maxWaitTime: 100 })
    this.#stream.on('data', message => this.#note(JSON.parse(message.value)))
  }

  // 'cancel': stop and answer cancel. Any other word: it is gone, stop and answer nothing.
  of (activity) {
    return this.#news.get(name(activity))
  }

  #note (outcome) {
    if (outcome.action !== 'heartbeat') return
    if (GONE.has(outcome.outcome)) this.#news.set(name(outcome.activity), outcome.outcome)
    else if (outcome.cancel_requested) this.#news.set(name(outcome.activity), 'cancel')
    if (this.#news.size > REMEMBERED) this.#news.delete(this.#news.keys().next().value)
  }

  async close () {
    await this.#stream.close()
    await this.#consumer.close()
  }
}
