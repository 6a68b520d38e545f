// Moving bodies that go through stages (State/BodyStages.swift): a block of the source's bytes at a time, out of its
// framing, through the stages, into the receiver's framing, and out in one call.
//
// The way of a body without stages is Relay.swift. A block makes at most `stagedBytesMax` bytes; whoever calls goes on
// while the stages have something to do and the receiver takes it, for its share of a turn.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience

extension Worker {
    /// Most bytes that come out of stages in one go: a block in base64, and more.
    private static let stagedBytesMax = 96 << 10
    /// A chunk's size and line end, with room to spare.
    private static let chunkHeaderBytesMax = 32
    /// The share of a loop turn that stages may use for one body, in plain bytes: about as much time as moving
    /// `turnBytesMax` takes.
    static let stagedTurnBytesMax = 256 << 10

    /// Takes `count` raw bytes out of their framing and sends what the stages make of them, behind what stands in `front`.
    ///
    /// - Parameters:
    ///   - flush: the source has nothing more at the moment.
    ///   - chunked: frame it in chunks, and end them when it ends.
    func relay(
        _ reader: inout BodyReader, through stages: BodyStages, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, flush: Bool, chunked: Bool, behind front: ByteWriter, to transport: inout Transport
    ) -> Relayed {
        var result = Relayed()
        var front = front
        if front.capacity - front.count < 2 * Self.stagedBytesMax {
            // A head that leaves no room goes first.
            result.errno = transport.send(front.base, front.count, pool: &buffers, nowMs: nowMs)
            result.sent = front.count
            if result.errno != 0 { return result }
            front = ByteWriter(front.base, capacity: front.capacity)
        }
        let tailStart = front.count + Self.chunkHeaderBytesMax
        var room = StageRoom(front.base + tailStart, Self.stagedBytesMax)
        room.trailers = reader.isDone ? reader.trailers : nil
        stages.drain(into: &room, pool: &buffers)
        var isFinished = false
        while room.failure == nil, let run = nextRun(&reader, bytes, count, &result) {
            if reader.isTooLong { return result }
            isFinished = reader.isDone
            room.trailers = isFinished ? reader.trailers : nil
            stages.write(
                bytes + run.offset, run.count, isFinished ? .finish : .more, into: &room, pool: &buffers)
        }
        if result.violation != nil { return result }
        if room.failure == nil {
            if reader.isDone && !isFinished && !stages.isFinished && !room.isLast {
                room.trailers = reader.trailers
                stages.write(nil, 0, .finish, into: &room, pool: &buffers)
            } else if flush && !reader.isDone {
                stages.flush(into: &room, pool: &buffers)
            }
        }
        if room.failure == nil, stages.isBusy, !room.isMoved, count == 0 {
            // With all the room there is.
            room.failure = .limit(.head)
        }
        if let failure = room.failure {
            result.failure = failure
            return result
        }
        if room.tookTrailers, let trailers = reader.trailers {
            reader.trailers = nil
            buffers.give(trailers)
        }
        send(room, reader, chunked: chunked, behind: &front, to: &transport, &result)
        result.isLast = room.isLast
        return result
    }

    /// Sends what stands in `front`, what goes as it is, and the room's bytes behind both, framed for the receiver.
    private func send(
        _ room: StageRoom, _ reader: BodyReader, chunked: Bool, behind front: inout ByteWriter,
        to transport: inout Transport, _ result: inout Relayed
    ) {
        let direct = room.direct?.count ?? 0
        let tailStart = front.count + Self.chunkHeaderBytesMax
        var tail = ByteWriter(front.base, capacity: front.capacity)
        tail.skip(tailStart + room.count)
        if chunked {
            if direct + room.count > 0 {
                writeChunkHeader(direct + room.count, &front)
                tail.append("\r\n")
            }
            if room.isLast { writeLastChunk(reader, &tail) }
        }
        if tail.overflowed {
            result.failure = .limit(.head)
            return
        }
        var partCount = 0
        var total = 0
        func addPart(_ start: UnsafeMutablePointer<UInt8>, _ length: Int) {
            if length == 0 { return }
            parts[partCount] = iovec(iov_base: start, iov_len: length)
            partCount += 1
            total += length
        }
        addPart(front.base, front.count)
        if let start = room.direct?.baseAddress {
            // Sending only reads.
            addPart(UnsafeMutablePointer(mutating: start), direct)
        }
        addPart(front.base + tailStart, tail.count - tailStart)
        if total > 0 {
            result.errno = transport.send(parts, partCount, total: total, pool: &buffers, nowMs: nowMs)
            result.sent += total
        }
        if room.isLast, result.errno == 0, let stream = transport.stream {
            endStream(stream, reader, isBlocked: transport.isBlocked)
        }
    }

    // MARK: the request

    /// A block of the request's body towards the endpoint, through its stages.
    func relayStaged(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) -> Relayed {
        let exchange = attempt.exchange
        guard let stages = exchange.pointee.requestStages else { return Relayed() }
        let relayed = relay(
            &exchange.pointee.requestBody, through: stages, bytes, count, flush: false,
            chunked: attempt.pointee.upstreamChunked, behind: ByteWriter(output, capacity: outputBytes),
            to: &upstream.pointee.transport)
        if relayed.isLast {
            exchange.pointee.isStaged = false
            end(stages)
        }
        return relayed
    }

    /// Puts what the stages before it make of body bytes into the held buffer, as far as that has room.
    func holdStaged(
        _ exchange: ExchangePointer, _ stages: BodyStages, _ held: BufferPointer,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ holdMax: Int
    ) -> (consumed: Int, error: (Violation, Int)?) {
        var held = held
        let needed = stages.bytesHeld(for: count)
        if held.room < needed {
            if held.count + needed > holdMax {
                exchange.pointee.holdIsOver = true
                exchange.pointee.isReplayable = false
                return (0, nil)
            }
            let grown = buffers.take(holdMax)
            grown.append(held.readable, held.count)
            buffers.give(held)
            exchange.pointee.held = grown
            held = grown
        }
        var room = heldRoom(held)
        var result = Relayed()
        while room.failure == nil, let run = nextRun(&exchange.pointee.requestBody, bytes, count, &result) {
            stages.hold(bytes + run.offset, run.count, .more, into: &room, pool: &buffers)
        }
        held.pointee.end += UInt32(room.count)
        if result.violation == nil, let failure = room.failure { stageFailed(exchange, failure) }
        return (result.consumed, result.violation)
    }

    /// All of the body has come and is held: the stages before it hear of its end. False: it is refused.
    func finishHeld(_ exchange: ExchangePointer) -> Bool {
        guard let stages = exchange.pointee.requestStages else { return true }
        if !stages.isHeldWhole, let held = exchange.pointee.held {
            var room = heldRoom(held)
            stages.hold(nil, 0, .finish, into: &room, pool: &buffers)
            held.pointee.end += UInt32(room.count)
            if let failure = room.failure {
                stageFailed(exchange, failure)
                return false
            }
        }
        if stages.holdsAll && stages.isHeldWhole { exchange.pointee.isStaged = false }
        return true
    }

    /// A body that is held whole goes through its stages before an endpoint is chosen, when what comes out is small enough to
    /// be held instead: it goes out with its length, a bad one reaches no endpoint, and another attempt sends the same bytes.
    ///
    /// - Parameter bytesMax: most bytes that are held then.
    func stageHeld(_ exchange: ExchangePointer, bytesMax: Int) -> StepResult {
        guard let stages = exchange.pointee.requestStages, exchange.pointee.requestBody.isDone,
            let before = exchange.pointee.held
        else { return .pass }
        guard restartStages(exchange) else { return .refuse(noMemory(exchange)) }
        var room = StageRoom(output, min(bytesMax, outputBytes))
        room.takesDirect = false
        room.leastBytes = 1
        stages.drain(into: &room, pool: &buffers)
        if let failure = room.failure {
            return .refuse(
                Failure(failure.reason, phase: exchange.pointee.phase, detail: failure.detail))
        }
        // Otherwise it goes through them as it is sent, from its beginning.
        guard room.isLast else {
            stages.forget(pool: &buffers) { $0.forget() }
            return .pass
        }
        let after = buffers.take(room.count)
        after.append(output, room.count)
        end(stages)
        stages.holdAll()
        buffers.give(before)
        exchange.pointee.held = after
        exchange.pointee.isStaged = false
        return .pass
    }

    /// The stages of a body cannot begin.
    func noMemory(_ exchange: ExchangePointer) -> Failure {
        .limit(.memory, phase: exchange.pointee.phase)
    }

    private func heldRoom(_ held: BufferPointer) -> StageRoom {
        var room = StageRoom(held.writable, held.room)
        room.takesDirect = false
        room.leastBytes = 0
        return room
    }

    func stageFailed(_ exchange: ExchangePointer, _ failure: StageFailure) {
        exchange.fail(Failure(failure.reason, phase: exchange.pointee.phase, detail: failure.detail))
    }

    // MARK: the response

    /// A block of the response's body towards the client, through its stages.
    func relayStaged(
        _ exchange: ExchangePointer, _ stages: BodyStages, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, flush: Bool, behind front: ByteWriter
    ) -> Relayed {
        let relayed = relay(
            &exchange.pointee.responseBody, through: stages, bytes, count,
            flush: flush && stages.flushesWhenIdle, chunked: exchange.pointee.clientChunked, behind: front,
            to: &exchange.pointee.client.pointee.transport)
        if relayed.isLast { dropResponseStages(exchange) }
        return relayed
    }

    /// Lets the stages of the response do what they can without another byte of it. False: stop.
    func goOnStaged(_ exchange: ExchangePointer, _ upstream: UpstreamPointer, flush: Bool) -> Bool {
        guard let stages = exchange.pointee.responseStages else { return true }
        if flush && !stages.flushesWhenIdle { return true }
        let relayed = relayStaged(
            exchange, stages, input, 0, flush: flush, behind: ByteWriter(output, capacity: outputBytes))
        return checkRelayed(exchange, upstream, relayed, extra: 0)
    }

    /// Whether the stages of the response have something to do without another byte of it.
    func stagesAreBusy(_ exchange: ExchangePointer) -> Bool {
        guard let stages = exchange.pointee.responseStages else { return false }
        return stages.isBusy || (exchange.pointee.responseBody.isDone && !stages.isFinished)
    }
}
