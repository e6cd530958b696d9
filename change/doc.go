// Package change defines a [Change] of a flag, the [Message] that carries changes from the DynamoDB stream to
// consumers, and the [Sink] that receives them.
//
// A change means that an item in the table may have changed. It triggers a read, and the table has the truth. So no
// sink may use a change's version as the item's version, and handling a change twice, late or out of order costs only a
// read.
//
// Sources (a queue, an HTTPS endpoint, a Lambda event, the journal) and sinks (a cache, a data source) meet only here.
// Each source has one prefix, which identifies a LaunchDarkly environment in the table, and drops and counts messages
// for other prefixes. The package imports the standard library only.
package change
