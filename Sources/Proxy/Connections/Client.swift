// A client's connection: bytes in and out, its deadline, its end. Which step is next is for HTTP/ to say.

import Glibc
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    /// The listener's current plan; nil when a reload removed it.
    func listenerPlan(_ client: ClientPointer) -> ListenerPlan? { lentPlan(client)?.object }

    @inline(__always)
    func lentPlan(_ client: ClientPointer) -> Lent<ListenerPlan>? {
        snapshot.lentListeners[client.pointee.listenerID] ?? retiredPlan(client.pointee.listenerID)
    }

    // MARK: input

    /// Receives into the connection's buffer, which grows up to capacity. Nil: nothing (more) to be had now.
    func bufferInput(_ client: ClientPointer, capacity: Int) -> BufferPointer? {
        guard client.pointee.canRead else { return nil }
        var buffer = client.pointee.input ?? buffers.take(min(1024, capacity))
        client.pointee.input = buffer
        if buffer.room == 0 {
            let grown = buffers.take(min(max(buffer.count * 4, 4096), max(capacity, buffer.count + 1)))
            grown.append(buffer.readable, buffer.count)
            buffers.give(buffer)
            client.pointee.input = grown
            buffer = grown
        }
        let received = receive(client, into: buffer.writable, buffer.room)
        if received <= 0 { return nil }
        buffer.pointee.end += UInt32(received)
        lastReceived = received
        return buffer
    }

    /// Drops bytes from the front of the connection's buffer, and the buffer when it is empty.
    func consumeInput(_ client: ClientPointer, _ byteCount: Int) {
        guard let input = client.pointee.input else { return }
        input.pointee.start += UInt32(byteCount)
        if input.count == 0 {
            buffers.give(input)
            client.pointee.input = nil
        }
    }

    /// Keeps raw bytes that came with others and cannot be used yet.
    func keepInput(_ client: ClientPointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        let buffer = buffers.take(count)
        buffer.append(bytes, count)
        client.pointee.input = buffer
    }

    /// Receives from a client; keeps its readiness. ≤ 0: nothing now; that the client is gone is noted.
    func receive(_ client: ClientPointer, into: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int {
        let received = client.pointee.transport.receive(into, capacity, pool: &buffers)
        if received > 0 {
            // A short read has emptied the socket, unless the end of stream waits behind it.
            if received < capacity && !client.pointee.peerEnded && !client.pointee.transport.hasMore {
                client.pointee.canRead = false
            }
            return received
        }
        client.pointee.canRead = false
        if received == -Int(EAGAIN) || received == -Int(EINTR) { return -1 }
        if received == 0, let exchange = client.pointee.exchange,
            exchange.pointee.requestBody.framing == .untilClose || exchange.pointee.requestBody.endsWithStream
        {
            // The end of the stream is the end of the body.
            exchange.pointee.requestBody.isDone = true
            exchange.pointee.requestBody.trailers = client.pointee.transport.takeTrailers()
            return 0
        }
        client.pointee.peerEnded = true
        broke(client, errno: received < 0 ? Int32(-received) : 0)
        return 0
    }

    /// Notes that the client's direction has ended (errno 0) or broken.
    func broke(_ client: ClientPointer, errno: Int32) {
        if let exchange = client.pointee.exchange {
            exchange.clientEnded(errno: errno)
        } else {
            client.pointee.parting = .gone
            client.pointee.readErrno = errno
        }
    }

    // MARK: output

    /// Sends bytes of our own making to the client, outside the response's body. False: the client is gone.
    func sendToClient(_ client: ClientPointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        let error = client.pointee.transport.send(bytes, count, pool: &buffers, nowMs: nowMs)
        if error == 0 { return true }
        broke(client, errno: error)
        return false
    }

    // MARK: deadlines

    @inline(__always)
    func setDeadline(_ client: ClientPointer, _ deadline: ClientDeadline, afterMs: UInt64) {
        client.pointee.deadline = deadline
        timers.arm(client.pointee.timer, atMs: nowMs &+ afterMs)
    }

    /// Something waits for the client, or it has been seen taking.
    @inline(__always)
    func setWriteDeadline(_ client: ClientPointer, timeoutMs: UInt64) {
        client.pointee.taking.begin(at: nowMs)
        setDeadline(client, .write, afterMs: TakingClock.pauseMs(timeoutMs: timeoutMs))
    }

    @inline(__always)
    func clearDeadline(_ client: ClientPointer) {
        if client.pointee.deadline == .none { return }
        client.pointee.deadline = .none
        timers.disarm(client.pointee.timer)
    }

    // MARK: the end

    /// Closes the connection. Its exchange or session, if any, must have ended.
    func close(_ client: ClientPointer, reset: Bool = false) {
        guard client.pointee.state != .closed else { return }
        client.pointee.state = .closed
        if let input = client.pointee.input { buffers.give(input) }
        client.pointee.input = nil
        timers.remove(client.pointee.timer)
        client.pointee.transport.close(reset: reset, pool: &buffers)
        if let stream = client.pointee.transport.stream {
            bury(TokenKind.stream, stream.pointee.handle)
        } else {
            status.connections.subtract(1, ordering: .relaxed)
            client.pointee.metrics._withUnsafeGuaranteedRef { $0.cell(worker: index).connectionEnded() }
        }
        client.pointee.metrics.release()
        bury(TokenKind.client, client.pointee.handle)
    }
}
