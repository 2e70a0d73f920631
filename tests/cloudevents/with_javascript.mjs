// Writes each case with the JavaScript SDK, in both modes, as JSON to standard output. See make-fixtures.

import { readFileSync } from "node:fs";
import { CloudEvent, Kafka } from "cloudevents";

const version = JSON.parse(readFileSync("node_modules/cloudevents/package.json", "utf8")).version;
const cases = JSON.parse(readFileSync(0, "utf8"));

// What the service hands to the SDK.
const given = ({ data }) => (data?.base64 === undefined ? data : Buffer.from(data.base64, "base64"));

// What a Kafka client is given: bytes and texts as they are, anything else as JSON, because the SDK leaves that to the service.
const bytes = (data) => {
  if (data === undefined || data === null) return null;
  return Buffer.isBuffer(data) ? data : Buffer.from(typeof data === "string" ? data : JSON.stringify(data));
};

const text = (field, content) => {
  if (content === null) return { [field]: null };
  const decoded = content.toString("utf8");
  if (Buffer.from(decoded, "utf8").equals(content)) return { [field]: decoded };
  return { [`${field}_base64`]: content.toString("base64") };
};

const fixtures = [];
for (const one of cases.cases) {
  const extensions = one.extensions ?? {};
  const event = new CloudEvent({
    id: `javascript-${one.name}`, source: cases.source, type: `handback.reply.${one.action}`, time: cases.time,
    ...one.attributes, ...extensions,
    ...(one.datacontenttype ? { datacontenttype: one.datacontenttype } : {}),
    ...(one.correlation_id ? {} : { tasktoken: Buffer.from(cases.task_token).toString("base64") }),
    ...("data" in one ? { data: given(one) } : {}),
  });
  for (const mode of ["binary", "structured"]) {
    const message = Kafka[mode](event);
    // The SDK gives a header for every attribute, also for those that are not set.
    const headers = Object.entries(message.headers).filter(([, value]) => value !== undefined);
    if (one.correlation_id) headers.push(["kafka_correlationId", cases.task_token]);
    fixtures.push({
      sdk: `JavaScript cloudevents ${version}`, case: one.name, mode, headers, ...text("value", bytes(message.value)),
      expect: { action: one.action, id: event.id, source: event.source, ...extensions, ...text("payload", bytes(given(one))) },
    });
  }
}
process.stdout.write(JSON.stringify(fixtures));
