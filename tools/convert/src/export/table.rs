//! A Parquet file, written row by row and put on the disk a row group at a time.
//!
//! Any column may be null. Times are `TIMESTAMP(NANOS, UTC)`, amounts are `DECIMAL(38, scale)` of 16 bytes, which readers know as
//! Decimal128. Memory: the rows of one group.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use crate::failure::{Failure, Outcome};

/// Rows of one group at most.
pub const GROUP_ROWS_MAX: usize = 1 << 17;

/// Digits of a decimal.
const PRECISION: u32 = 38;

/// Bytes of a decimal.
const DECIMAL_BYTES: usize = 16;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unix nanoseconds, UTC.
    Time,
    /// A whole number that is not negative.
    Uint,
    /// A whole number.
    Int,
    /// A text.
    Text,
    /// Yes or no.
    Flag,
    /// A decimal with so many decimals.
    Decimal(u32),
}

/// A value for a column of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// None.
    Null,
    /// Unix nanoseconds.
    Time(u64),
    /// A whole number that is not negative.
    Uint(u64),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Yes or no.
    Flag(bool),
    /// A decimal in units of the column's last place.
    Decimal(i128),
}

/// The rows of a column that are not on the disk yet.
struct Column {
    name: &'static str,
    kind: Kind,
    /// 1 where there is a value, 0 where there is none.
    levels: Vec<i16>,
    ints: Vec<i64>,
    flags: Vec<bool>,
    /// Texts and decimals, one after the other.
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<usize>,
}

/// See the module's documentation.
pub struct Table {
    writer: SerializedFileWriter<File>,
    path: PathBuf,
    columns: Vec<Column>,
    rows: u64,
}

impl Table {
    /// Begins a file.
    ///
    /// # Errors
    /// The system's word.
    pub fn create(path: &Path, columns: &[(&'static str, Kind)]) -> Outcome<Self> {
        let field = |(name, kind): &(&str, Kind)| match kind {
            Kind::Time => format!("optional int64 {name} (TIMESTAMP(NANOS,true));"),
            Kind::Uint => format!("optional int64 {name} (INTEGER(64,false));"),
            Kind::Int => format!("optional int64 {name};"),
            Kind::Text => format!("optional binary {name} (STRING);"),
            Kind::Flag => format!("optional boolean {name};"),
            Kind::Decimal(scale) => {
                format!("optional fixed_len_byte_array({DECIMAL_BYTES}) {name} (DECIMAL({PRECISION},{scale}));")
            }
        };
        let schema: String = columns.iter().map(field).collect();
        let schema = parse_message_type(&format!("message rows {{ {schema} }}")).map_err(|e| Failure::file(path, e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_size(GROUP_ROWS_MAX)
            .set_created_by(format!("tercel-convert {}", env!("CARGO_PKG_VERSION")))
            .build();
        let file = File::create(path).map_err(|e| Failure::file(path, e))?;
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
            .map_err(|e| Failure::file(path, e))?;
        let column = |(name, kind): &(&'static str, Kind)| Column {
            name,
            kind: *kind,
            levels: Vec::new(),
            ints: Vec::new(),
            flags: Vec::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        Ok(Self { writer, path: path.to_owned(), columns: columns.iter().map(column).collect(), rows: 0 })
    }

    /// Appends a row: a cell for each column.
    ///
    /// # Errors
    /// A value that its column cannot hold, or the system's word.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> Outcome {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(*cell).map_err(|e| Failure::file(&self.path, format!("column {}: {e}", column.name)))?;
        }
        self.rows += 1;
        if self.rows.is_multiple_of(GROUP_ROWS_MAX as u64) { self.flush() } else { Ok(()) }
    }

    /// Writes what is left, and the footer; returns how many rows there are.
    ///
    /// # Errors
    /// The system's word.
    pub fn finish(mut self) -> Outcome<u64> {
        self.flush()?;
        let Self { writer, path, rows, .. } = self;
        let file = writer.into_inner().map_err(|e| Failure::file(&path, e))?;
        file.sync_data().map_err(|e| Failure::file(&path, e))?;
        Ok(rows)
    }

    fn flush(&mut self) -> Outcome {
        if self.columns.first().is_none_or(|column| column.levels.is_empty()) {
            return Ok(());
        }
        let Self { writer, path, columns, .. } = self;
        let mut write = || -> parquet::errors::Result<()> {
            let mut group = writer.next_row_group()?;
            for column in &mut *columns {
                let Some(mut out) = group.next_column()? else { break };
                column.write(&mut out)?;
                out.close()?;
            }
            group.close().map(|_| ())
        };
        write().map_err(|e| Failure::file(path, e))
    }
}

impl Column {
    fn push(&mut self, cell: Cell<'_>) -> Result<(), String> {
        match (self.kind, cell) {
            (_, Cell::Null) => {
                self.levels.push(0);
                return Ok(());
            }
            (Kind::Time, Cell::Time(ns)) => {
                self.ints.push(i64::try_from(ns).map_err(|_| format!("{ns} nanoseconds lie behind the year 2262"))?);
            }
            // The column's type says that its bits are those of a number without sign.
            (Kind::Uint, Cell::Uint(value)) => self.ints.push(value as i64),
            (Kind::Int, Cell::Int(value)) => self.ints.push(value),
            (Kind::Flag, Cell::Flag(value)) => self.flags.push(value),
            (Kind::Text, Cell::Text(text)) => {
                self.bytes.extend_from_slice(text.as_bytes());
                self.ends.push(self.bytes.len());
            }
            (Kind::Decimal(_), Cell::Decimal(value)) => {
                if value.unsigned_abs() >= 10u128.pow(PRECISION) {
                    return Err(format!("{value} has more than {PRECISION} digits"));
                }
                self.bytes.extend_from_slice(&value.to_be_bytes());
            }
            (kind, cell) => return Err(format!("{cell:?} is not of the kind {kind:?}")),
        }
        self.levels.push(1);
        Ok(())
    }

    /// Writes the rows and forgets them.
    fn write(&mut self, out: &mut SerializedColumnWriter<'_>) -> parquet::errors::Result<()> {
        let levels = Some(&self.levels[..]);
        match self.kind {
            Kind::Time | Kind::Uint | Kind::Int => {
                out.typed::<Int64Type>().write_batch(&self.ints, levels, None)?;
            }
            Kind::Flag => {
                out.typed::<BoolType>().write_batch(&self.flags, levels, None)?;
            }
            Kind::Text => {
                // One buffer that the values share.
                let bytes = Bytes::from(std::mem::take(&mut self.bytes));
                let mut start = 0;
                let texts =
                    self.ends.iter().map(|end| ByteArray::from(bytes.slice(std::mem::replace(&mut start, *end)..*end)));
                out.typed::<ByteArrayType>().write_batch(&texts.collect::<Vec<_>>(), levels, None)?;
            }
            Kind::Decimal(_) => {
                let bytes = Bytes::from(std::mem::take(&mut self.bytes));
                let decimals = (0..bytes.len()).step_by(DECIMAL_BYTES).map(|at| bytes.slice(at..at + DECIMAL_BYTES));
                let decimals: Vec<FixedLenByteArray> = decimals.map(|bytes| ByteArray::from(bytes).into()).collect();
                out.typed::<FixedLenByteArrayType>().write_batch(&decimals, levels, None)?;
            }
        }
        self.levels.clear();
        self.ints.clear();
        self.flags.clear();
        self.ends.clear();
        Ok(())
    }
}
