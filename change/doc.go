// Package change is the vocabulary in which warmflags speaks of changed flags: a [Change], the
// [Message] that carries changes from the DynamoDB stream to consumers, and the [Sink] that they
// are delivered to.
//
// A change says that an item in the table may have changed. It is a reason to look, not a truth: the
// table is the truth. So no sink may take a change's version for the item's version, and handling a
// change twice, late or out of order does no harm beyond a read.
//
// Sources (a queue, an HTTPS endpoint, a Lambda event, the journal) and sinks (a cache, a data source)
// meet only here. Each source has one prefix, the name of a LaunchDarkly environment in the table, and
// drops and counts messages of others. The package imports the standard library only.
package change
