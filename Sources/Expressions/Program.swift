// The compiled form of an expression: plain data in three tables.
//
//   tests      what is asked, one after the other; each says which comes next when it holds and when it does not,
//              always one further down: so every evaluation ends, after at most as many steps as there are tests
//   operands   what tests compare; "the first that is there" is a chain
//   bytes      names and texts
//
// `&&`, `||` and `!` are nothing but where tests lead to.

import WeirHTTPModel

/// Bounds of one expression.
public enum ExpressionLimits {
    /// Of its text.
    public static let bytes = 4_096
    /// Of parentheses, `!` and functions.
    public static let depth = 32
    /// Of comparisons.
    public static let tests = 128
    /// Of the work of one evaluation, in the units of `Cost`.
    public static let cost = 2_000
    /// Of what `contains` looks for.
    public static let searchBytes = 256
    /// Of what a key may be long.
    public static let keyBytes = 4_096
}

/// What work costs at worst, roughly in comparisons of short texts.
enum Cost {
    static let test = 1
    static let listElement = 1
    static let search = 4
    static let pattern = 64
    /// A field has to be looked for among others, a parameter or cookie byte by byte.
    static let field = 8
    static let pair = 16
}

struct Operand: BitwiseCopyable {
    enum Source: UInt8 { case property, text, number, address, boolean }
    enum Conversion: UInt8 { case none, length, integer, address }

    var source: Source
    var property = Property.method
    /// Of `header`.
    var field = FieldID.other
    var conversion = Conversion.none
    /// Its upper-case letters count as lower-case ones.
    var folds = false
    /// The operand that stands in when this one is missing; -1: none.
    var otherwise: Int16 = -1
    /// A name, or the text itself.
    var text = ByteRange.empty
    var number: Int64 = 0
    var high: UInt64 = 0
    /// Where it stands in the text of the expression.
    var start: UInt16 = 0
    var end: UInt16 = 0
}

struct Test: BitwiseCopyable {
    enum Kind: UInt8 {
        case always, never, isTrue, present
        case equal, less, lessOrEqual, contains, startsWith, endsWith, matches
        case amongTexts, amongNumbers, amongBlocks
        /// For one of the texts of a list.
        case oneEqual, oneStartsWith, oneEndsWith, oneMatches
    }

    /// Instead of a test: the expression holds, or does not.
    static let accept: Int16 = -1
    static let reject: Int16 = -2

    var kind: Kind
    var left: Int16 = 0
    /// An operand, the number of a pattern, or the first element of a list.
    var right: Int16 = 0
    /// Elements of a list.
    var count: Int16 = 0
    var onTrue: Int16 = Test.accept
    var onFalse: Int16 = Test.reject
    var start: UInt16 = 0
    var end: UInt16 = 0
}

/// A block of addresses, as 128 bits.
struct Block: BitwiseCopyable, Equatable {
    var high: UInt64
    var low: UInt64
    var prefix: UInt8

    func contains(_ otherHigh: UInt64, _ otherLow: UInt64) -> Bool {
        let (highMask, lowMask) = Self.masks(Int(prefix))
        return otherHigh & highMask == high && otherLow & lowMask == low
    }

    static func masks(_ prefix: Int) -> (UInt64, UInt64) {
        let high = prefix >= 64 ? UInt64.max : prefix == 0 ? 0 : ~(UInt64.max >> UInt64(prefix))
        let low = prefix <= 64 ? 0 : prefix == 128 ? UInt64.max : ~(UInt64.max >> UInt64(prefix - 64))
        return (high, low)
    }
}

struct Program: Sendable {
    var tests: [Test] = []
    var operands: [Operand] = []
    var texts: [ByteRange] = []
    var numbers: [Int64] = []
    var blocks: [Block] = []
    var bytes: [UInt8] = []
    var patterns: [ExpressionPattern] = []
    /// The work of one evaluation at worst.
    var cost = 0
    /// Of a key: the operand it is.
    var key: Int16 = -1
    var properties: Set<Property> = []
}

/// A regular expression in an expression, for whoever compiles those.
public struct ExpressionPattern: Sendable, Equatable {
    public let text: String
    /// Where it begins in the text of the expression.
    public let position: Int
}
