// Validates an AsyncAPI document with the official parser of AsyncAPI, and the JSON Schemas that it points at.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import Ajv2020 from "ajv/dist/2020.js";

const source = process.argv[2];

// The parser knows drafts up to 7; ours are 2020-12.
const drafts2020 = {
  getMimeTypes: () => ["application/schema+json;version=draft-2020-12"],
  validate: ({ data, path }) => {
    const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, validateFormats: false });
    try {
      ajv.addVocabulary(["contentEncoding"]);
      ajv.compile(structuredClone(data));
      return [];
    } catch (fault) {
      return [{ message: `no schema of draft 2020-12: ${fault.message}`, path }];
    }
  },
  parse: ({ data }) => data,
};

const parser = new Parser();
parser.registerSchemaParser(drafts2020);
const { document, diagnostics } = await parser.parse(readFileSync(source, "utf8"), { source });

// 0 error, 1 warning, 2 information, 3 hint.
for (const { severity, message, path, range } of diagnostics) {
  console.log(`${["error", "warning", "information", "hint"][severity]}: line ${range.start.line + 1}, ${path.join(".")}: ${message}`);
}
// A document is only there when there is no error.
if (document === undefined || diagnostics.some(({ severity }) => severity <= 1)) process.exit(1);

const channels = document.channels().all();
const messages = document.components().messages().all();
console.log(`AsyncAPI ${document.version()}: ${channels.length} channels, ${document.operations().all().length} operations, ${messages.length} messages`);
for (const channel of channels) console.log(`  ${channel.address()}: ${channel.messages().all().map((message) => message.title()).join("; ")}`);

const schemas = messages.filter((message) => message.hasPayload());
console.log(`  payloads: ${schemas.map((message) => message.payload().title()).join("; ")}`);
if (channels.length === 0 || schemas.length < 4) {
  console.log("error: less than there must be was read");
  process.exit(1);
}
