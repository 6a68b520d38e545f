// gRPC-Web on the client's side, gRPC on the endpoint's ("gRPC Web", protocol differences).
//
// A browser cannot read trailers, so a gRPC-Web response carries them in a last frame of its body, and the
// whole body in base64 when text was asked for. What the forms look like is said in the GRPC module; here
// bodies pass through it, block by block, in any version of HTTP on the client's side and over streams on
// the endpoint's. A request is held to its framing on the way, so that no endpoint takes half a message
// for a call; a block of a response becomes a third longer at most, so the transport's bound holds.
// What is no answer of a gRPC server goes to the client as it is. CORS is no concern of the bridge.

import WeirGRPC
import WeirHTTPModel
import Reactor
import WeirResilience

/// What the bridge knows of an exchange, beside its two stages.
final class WebBridge {
    /// The form the client wants its response in.
    let responseKind: GRPCKind
    /// Where the response is a gRPC server's, and has a body.
    var response: WebResponseStage?

    init(responseKind: GRPCKind) { self.responseKind = responseKind }
}

/// The request's messages out of the client's form; held to their framing.
final class WebRequestStage: BodyStage {
    private let isText: Bool
    private var decoder: GRPCWebRequestDecoder

    init(_ kind: GRPCKind) {
        isText = kind == .webText
        decoder = GRPCWebRequestDecoder(kind)
    }

    override func bytesOut(for count: Int) -> Int { isText ? GRPCWebRequestDecoder.room(for: count) : count }

    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        var step = StageStep()
        step.passes = !isText
        if let bytes = input.bytes {
            // Decoded bytes are never more than what they come from, up to a quantum.
            step.consumed = isText ? min(input.count, capacity / 3 * 4) : input.count
            if let decoded = decoder.decode(bytes, step.consumed, into: room) {
                step.produced = decoded.count
            }
        }
        if input.mode == .finish, step.consumed == input.count { _ = decoder.finish() }
        if let error = decoder.error {
            step.failure = StageFailure(reason: .grpcWebMalformed, detail: Detail(error))
        }
        return step
    }
}

/// The endpoint's messages into the client's form, and behind them its trailers as the last frame of the body.
final class WebResponseStage: BodyStage {
    private let isText: Bool
    private let hasStatus: Bool
    private var encoder: GRPCWebResponseEncoder
    private var frames = FrameScanner()
    /// A status of ours that ends it, in place of the endpoint's.
    var failure: Reason?

    init(_ kind: GRPCKind, hasStatus: Bool) {
        isText = kind == .webText
        self.hasStatus = hasStatus
        encoder = GRPCWebResponseEncoder(kind)
    }

    /// A status can stand here, between two messages.
    var isAtBoundary: Bool { frames.isAtBoundary }

    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        var step = StageStep()
        if let bytes = input.bytes {
            guard isText else {
                // The end follows in a call of its own.
                _ = frames.scan(bytes, input.count)
                return StageStep(
                    consumed: input.count, produced: input.count, passes: true,
                    hasMore: input.mode == .finish)
            }
            step.consumed = min(input.count, capacity / 4 * 3 - 8)
            _ = frames.scan(bytes, step.consumed)
            // Flushed each time: the client can read all that the endpoint has said.
            step.produced = encoder.encode(bytes, step.consumed, into: room, flush: true).count
            if step.consumed < input.count { return step }
        }
        if input.mode == .finish { end(input.trailers, room, capacity, &step) }
        return step
    }

    private func end(
        _ trailers: BufferPointer?, _ room: UnsafeMutablePointer<UInt8>, _ capacity: Int,
        _ step: inout StageStep
    ) {
        let before = encoder
        var writer = ByteWriter(room, capacity: capacity)
        writer.skip(step.produced)
        if let failure {
            let name = failure.name
            encoder.writeStatus(
                failure.grpcStatus,
                message: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), &writer)
        } else if let trailers {
            encoder.writeTrailers(
                UnsafeBufferPointer(start: trailers.readable, count: trailers.count), &writer)
        } else if !hasStatus {
            encoder.writeStatus(.unknown, message: Self.noStatus, &writer)
        }
        if writer.overflowed {
            encoder = before
            step.hasMore = true
            return
        }
        step.produced = writer.count
        step.tookTrailers = failure == nil && trailers != nil
    }

    fileprivate static var noStatus: UnsafeBufferPointer<UInt8> {
        let text: StaticString = "the endpoint sent no grpc-status"
        return UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }
}

extension Worker {
    /// Bridges the exchange when the client speaks gRPC-Web and the endpoints can be spoken to in gRPC.
    func beginBridge(_ exchange: ExchangePointer) {
        let request = exchange.pointee.request
        guard request.method == .post, !request.wantsUpgrade, exchange.service?.streams != nil,
            let view = view(exchange), let kinds = view.grpcKinds, kinds.request != .grpc
        else { return }
        exchange.pointee.web = WebBridge(responseKind: kinds.response)
        // A call without a message has no body.
        if exchange.pointee.requestBody.isDone { return }
        add(WebRequestStage(kinds.request), toRequestOf: exchange, beforeHold: true)
    }

    // MARK: the response

    /// Decides on a response, whose body has begun, whether a gRPC server made it, and puts its fields in the client's
    /// form, which stand as lines in `writer` from `start` on.
    func bridgeResponse(
        _ exchange: ExchangePointer, _ response: ResponseView, from start: Int, _ writer: inout ByteWriter
    ) {
        guard let bridge = exchange.pointee.web else { return }
        var isCall = false
        var hasStatus = false
        for i in 0..<Int(response.head.fieldCount) {
            let field = response.fields[i]
            if field.id == .contentType {
                isCall = GRPCContentType(field.value.bytes(in: response.bytes))?.kind == .grpc
            } else if equals(
                response.bytes + Int(field.nameOffset), Int(field.nameCount), lowercase: "grpc-status")
            {
                hasStatus = true
            }
        }
        guard isCall else { return }
        exchange.pointee.mayTransform = false
        if !exchange.pointee.responseBody.isDone {
            let stage = WebResponseStage(bridge.responseKind, hasStatus: hasStatus)
            bridge.response = stage
            add(stage, toResponseOf: exchange)
            // Another length, and no trailers of HTTP's.
            frameResponse(exchange)
            FieldLines.takeOut(from: start, &writer) {
                equals($0, $1, lowercase: "content-length") || equals($0, $1, lowercase: "trailer")
            }
        }
        writeType(as: bridge.responseKind, from: start, &writer)
        if bridge.response == nil && !hasStatus {
            GRPCFields.writeStatus(.unknown, message: WebResponseStage.noStatus, &writer)
        }
    }

    /// Puts the fields of a bridged request in gRPC's form.
    func writeBridgedRequest(from start: Int, _ writer: inout ByteWriter) {
        writeType(as: .grpc, from: start, &writer)
    }

    private func writeType(as kind: GRPCKind, from start: Int, _ writer: inout ByteWriter) {
        FieldLines.rewrite(from: start, &writer) {
            equals($0, $1, lowercase: "content-type")
        } write: { line, writer in
            let value = line.value(in: writer)
            writer.append("content-type: ")
            if let type = GRPCContentType(value) {
                type.write(as: kind, of: value, &writer)
            } else {
                writer.append(value)
            }
            writer.append("\r\n")
        }
    }

    /// Ends a bridged response that has begun and cannot be finished: with a status of ours, where one can
    /// stand between two messages. False: it can only be cut.
    func endBridged(_ exchange: ExchangePointer, _ failure: Failure) -> Bool {
        guard let stage = exchange.pointee.web?.response, let stages = exchange.pointee.responseStages,
            exchange.pointee.responseStarted, !exchange.pointee.responseDone, stage.isAtBoundary
        else { return false }
        exchange.pointee.failure = failure
        exchange.pointee.isLocal = true
        exchange.pointee.responseBody.isDone = true
        stage.failure = failure.reason
        let relayed = relayStaged(
            exchange, stages, input, 0, flush: false, behind: ByteWriter(output, capacity: outputBytes))
        exchange.pointee.bytesOut += UInt64(relayed.sent)
        if relayed.errno != 0 || !relayed.isLast {
            exchange.end(failure)
            return true
        }
        exchange.pointee.responseDone = true
        if exchange.pointee.client.pointee.transport.isBlocked {
            armDeadlines(exchange)
        } else {
            exchange.finish()
        }
        return true
    }
}
