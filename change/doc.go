// Package change defines a [Change] of a flag, the [Message] that carries changes from the DynamoDB stream to
// consumers, and the [Sink] that receives them.
//
// A change means that an item in the table may have changed. It triggers a read of the table. A sink must not use a
// change's version as the item's version. A change that is handled twice, late or out of order only costs a read.
//
// Every source (a queue, an HTTPS endpoint, a Lambda event, the journal) can feed every sink (a cache, a data source).
// A source is configured with one prefix, which identifies a LaunchDarkly environment in the table. It drops and counts
// messages for other prefixes. This package imports only the standard library.
package change
