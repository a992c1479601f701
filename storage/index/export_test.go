package index

// Filled reports whether every id of the database is in the filter.
func (x *Index) Filled() bool { return x.filter.ready.Load() }

// BeforeStored has f called when rows are in the database and what was remembered of them is still there.
func (x *Index) BeforeStored(f func()) {
	x.Stored = func(rows []row) {
		f()
		x.stored(rows)
	}
}
