// ZeroMQ sockets of Node.js, driven by lines of JSON: each line on stdin is a request, each is answered by one on stdout.
//
//   {open: kind, options, metadata}   make a socket; its number
//   {socket, call: name, args}        call a method of it, or read a property; what it returns
//   {socket, events: true}            what has happened to it so far: [[event, status of its error], ...]
//
// The answer is {value} or {error}. Octets are written {base64}. It ends with its stdin.
"use strict"

const readline = require("node:readline")
const zmq = require("zeromq")
const draft = require("zeromq/draft")

const ZMQ_METADATA = 95 // a draft option for which the package has no name
const kinds = { ...zmq, ...draft }
const sockets = []

Buffer.prototype.toJSON = function () {
  return { base64: this.toString("base64") }
}

function revive(_, value) {
  return typeof value?.base64 === "string" ? Buffer.from(value.base64, "base64") : value
}

async function watch({ socket, events }) {
  for await (const event of socket.events) events.push([event.type, event.error?.status ?? null])
}

function open({ open: kind, options, metadata }) {
  const socket = new kinds[kind]({ linger: 0 })
  for (const [name, value] of Object.entries(options)) {
    if (name in socket) socket[name] = value // a time-out of receiving is nothing to a socket that only sends
    else if (!name.endsWith("Timeout")) throw new Error(`${kind} has no option ${name}`)
  }
  for (const [name, value] of Object.entries(metadata)) socket.setStringOption(ZMQ_METADATA, `${name}:${value}`)
  sockets.push({ socket, events: [] })
  watch(sockets.at(-1))
  return sockets.length - 1
}

async function answer(request) {
  if (request.open) return open(request)
  const { socket, events } = sockets[request.socket]
  if (request.events) return events
  const member = socket[request.call]
  return typeof member === "function" ? await member.apply(socket, request.args) : member
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let said
    try {
      said = { value: (await answer(JSON.parse(line, revive))) ?? null }
    } catch (error) {
      said = { error: error.code ?? error.message }
    }
    process.stdout.write(JSON.stringify(said) + "\n")
  }
  process.exit()
}

main()
