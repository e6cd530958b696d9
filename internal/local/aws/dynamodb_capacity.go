package aws

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

// Capacity units, by https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html.

// readUnits: one unit for 4 KB strongly consistent, at least one; half of it eventually consistent.
func readUnits(bytes int, consistent *bool) float64 {
	units := float64(max(1, (bytes+4095)/4096))
	if !aws.ToBool(consistent) {
		units /= 2
	}
	return units
}

// writeUnits: one unit for 1 KB of the greater of the item before and after, at least one.
func writeUnits(before, after item) float64 {
	size := max(expression.Size(before), expression.Size(after))
	return float64(max(1, (size+1023)/1024))
}

func (w *write) consumed(asked types.ReturnConsumedCapacity, before, after item) *types.ConsumedCapacity {
	return consumed(asked, w.table, writeUnits(before, after))
}

// consumed is what ReturnConsumedCapacity asks for, or nil.
func consumed(asked types.ReturnConsumedCapacity, t *table, units float64) *types.ConsumedCapacity {
	if asked == "" || asked == types.ReturnConsumedCapacityNone {
		return nil
	}
	c := &types.ConsumedCapacity{TableName: aws.String(t.name), CapacityUnits: aws.Float64(units)}
	if asked == types.ReturnConsumedCapacityIndexes {
		c.Table = &types.Capacity{CapacityUnits: aws.Float64(units)}
	}
	return c
}

// consumedByTable adds units up by table, in the order in which tables first come.
func consumedByTable(asked types.ReturnConsumedCapacity, tables []*table, units []float64) []types.ConsumedCapacity {
	var list []types.ConsumedCapacity
	at := map[*table]int{}
	sum := map[*table]float64{}
	for i, t := range tables {
		sum[t] += units[i]
		c := consumed(asked, t, sum[t])
		if c == nil {
			return nil
		}
		if n, ok := at[t]; ok {
			list[n] = *c
			continue
		}
		at[t] = len(list)
		list = append(list, *c)
	}
	return list
}
