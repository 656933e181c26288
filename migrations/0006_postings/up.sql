-- A batch's lines of the journal name its conversions, so an index of conversions by batch says nothing new; it was one
-- of the four index entries of every conversion.
DROP INDEX conversions_by_posting;
