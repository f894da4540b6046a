//! A Parquet file: a row for each parameter set and fold.
//!
//! Amounts are `DECIMAL(38, 12)`, exact; ratios are doubles. Any column may be null. Memory: one group of rows.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use crate::failure::{Failure, Outcome};

/// Rows of one group at most.
const GROUP_ROWS_MAX: usize = 1 << 15;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number that is not negative.
    Uint,
    /// A number.
    Double,
    /// An amount in 10⁻¹² of the settlement currency.
    Money,
}

/// A value for a column of its kind, or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A text.
    Text(Option<String>),
    /// A whole number.
    Uint(Option<u64>),
    /// A number.
    Double(Option<f64>),
    /// An amount.
    Money(Option<i128>),
}

/// The columns of a group that is not written yet.
enum Column {
    Text(Vec<Option<String>>),
    Uint(Vec<Option<u64>>),
    Double(Vec<Option<f64>>),
    Money(Vec<Option<i128>>),
}

/// See the module's documentation.
pub struct Table<'a> {
    writer: SerializedFileWriter<File>,
    path: &'a Path,
    columns: Vec<Column>,
    rows: usize,
}

impl<'a> Table<'a> {
    /// Begins a file. Names are made safe: whatever is no letter, digit, underscore or dot becomes an underscore.
    ///
    /// # Errors
    /// The system's word.
    pub fn create(path: &'a Path, columns: &[(String, Kind)]) -> Outcome<Self> {
        let safe = |name: &str| name.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'), "_");
        let field = |(name, kind): &(String, Kind)| {
            let name = safe(name);
            match kind {
                Kind::Text => format!("optional binary {name} (STRING);"),
                Kind::Uint => format!("optional int64 {name} (INTEGER(64,false));"),
                Kind::Double => format!("optional double {name};"),
                Kind::Money => format!("optional fixed_len_byte_array(16) {name} (DECIMAL(38,12));"),
            }
        };
        let fields: String = columns.iter().map(field).collect();
        let schema = parse_message_type(&format!("message tercel_sweep {{ {fields} }}"));
        let schema = schema.map_err(|e| Failure::file(path, e))?;
        let compression = Compression::ZSTD(ZstdLevel::try_new(3).map_err(|e| Failure::file(path, e))?);
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let file = File::create(path).map_err(|e| Failure::file(path, e))?;
        let writer =
            SerializedFileWriter::new(file, Arc::new(schema), properties).map_err(|e| Failure::file(path, e))?;
        let column = |(_, kind): &(String, Kind)| match kind {
            Kind::Text => Column::Text(Vec::new()),
            Kind::Uint => Column::Uint(Vec::new()),
            Kind::Double => Column::Double(Vec::new()),
            Kind::Money => Column::Money(Vec::new()),
        };
        Ok(Self { writer, path, columns: columns.iter().map(column).collect(), rows: 0 })
    }

    /// Appends a row: a cell for each column.
    ///
    /// # Errors
    /// The system's word.
    ///
    /// # Panics
    /// If the cells are not of the columns' kinds.
    pub fn row(&mut self, cells: Vec<Cell>) -> Outcome {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            match (column, cell) {
                (Column::Text(column), Cell::Text(cell)) => column.push(cell),
                (Column::Uint(column), Cell::Uint(cell)) => column.push(cell),
                (Column::Double(column), Cell::Double(cell)) => column.push(cell),
                (Column::Money(column), Cell::Money(cell)) => column.push(cell),
                (_, cell) => panic!("{cell:?} is not of its column's kind"),
            }
        }
        self.rows += 1;
        if self.rows.is_multiple_of(GROUP_ROWS_MAX) { self.flush() } else { Ok(()) }
    }

    /// Writes what is left, and the footer; returns how many rows there are.
    ///
    /// # Errors
    /// The system's word.
    pub fn finish(mut self) -> Outcome<usize> {
        if !self.rows.is_multiple_of(GROUP_ROWS_MAX) {
            self.flush()?;
        }
        let Self { writer, path, rows, .. } = self;
        let file = writer.into_inner().map_err(|e| Failure::file(path, e))?;
        file.sync_data().map_err(|e| Failure::file(path, e))?;
        Ok(rows)
    }

    fn flush(&mut self) -> Outcome {
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

/// The values that are there, and for each row whether it has one.
fn split<T>(cells: &mut Vec<Option<T>>) -> (Vec<T>, Vec<i16>) {
    let levels = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    (std::mem::take(cells).into_iter().flatten().collect(), levels)
}

impl Column {
    /// Writes the rows and forgets them.
    fn write(&mut self, out: &mut SerializedColumnWriter<'_>) -> parquet::errors::Result<()> {
        match self {
            Self::Text(cells) => {
                let (values, levels) = split(cells);
                let values: Vec<ByteArray> =
                    values.into_iter().map(|text| ByteArray::from(text.into_bytes())).collect();
                out.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
            }
            Self::Uint(cells) => {
                let (values, levels) = split(cells);
                // The column's type says that its bits are those of a number without sign.
                let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
                out.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
            }
            Self::Double(cells) => {
                let (values, levels) = split(cells);
                out.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            }
            Self::Money(cells) => {
                let (values, levels) = split(cells);
                let fixed = |value: i128| ByteArray::from(Bytes::copy_from_slice(&value.to_be_bytes())).into();
                let values: Vec<FixedLenByteArray> = values.into_iter().map(fixed).collect();
                out.typed::<FixedLenByteArrayType>().write_batch(&values, Some(&levels), None)?;
            }
        }
        Ok(())
    }
}
