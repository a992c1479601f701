package index

// Filled reports whether every id of the database is in the filter.
func (x *Index) Filled() bool { return x.filter.ready.Load() }
