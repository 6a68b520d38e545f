// Which stages a body goes through: they are put together by the steps of policies (Policies/), in the order of the chain, for
// each direction of an exchange. A stage that is not wanted costs nothing; without any, bodies are relayed, spliced or moved
// by sendfile.

extension Worker {
    /// Puts a stage behind those a request's body has.
    func add(_ stage: BodyStage, toRequestOf exchange: ExchangePointer, beforeHold: Bool = false) {
        let stages = exchange.pointee.requestStages ?? BodyStages()
        stages.add(stage, beforeHold: beforeHold)
        exchange.pointee.requestStages = stages
        exchange.pointee.isStaged = !exchange.pointee.requestBody.isDone
    }

    /// Puts a stage behind those a response's body has.
    func add(_ stage: BodyStage, toResponseOf exchange: ExchangePointer) {
        let stages = exchange.pointee.responseStages ?? BodyStages()
        stages.add(stage)
        exchange.pointee.responseStages = stages
    }

    /// Begins an attempt: what is held of the request goes through the stages behind it. False: no memory.
    func restartStages(_ exchange: ExchangePointer) -> Bool {
        guard let stages = exchange.pointee.requestStages, !stages.holdsAll else { return true }
        exchange.pointee.isStaged = true
        return stages.restart(
            exchange.pointee.held, isWhole: exchange.pointee.requestBody.isDone && stages.isHeldWhole,
            pool: &buffers
        ) { $0.restart(self) }
    }

    func end(_ stages: BodyStages) { stages.end(pool: &buffers) { $0.end(self) } }

    /// Ends the stages of a request's body, wherever it stands.
    func dropRequestStages(_ exchange: ExchangePointer) {
        guard let stages = exchange.pointee.requestStages else { return }
        end(stages)
        exchange.pointee.requestStages = nil
        exchange.pointee.isStaged = false
    }

    /// Ends the stages of a response's body, wherever it stands.
    func dropResponseStages(_ exchange: ExchangePointer) {
        guard let stages = exchange.pointee.responseStages else { return }
        end(stages)
        exchange.pointee.responseStages = nil
    }
}
